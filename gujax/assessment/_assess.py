"""Assess a model that was trained anywhere."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gujax.assessment._assessment import Assessment
from gujax.assessment._calibrating import Calibrated, calibrate, compare, resample
from gujax.assessment._gradients import folded, signal_gram, signal_sketches, signals
from gujax.assessment._inputs import Apply, checked_pool, checked_reruns, label_noise
from gujax.prediction import gram_spectrum, sketch_spectrum
from gujax.progress import Progress
from gujax.validation import check_count

_EXACT = 4096  # examples up to which the Gram matrix is formed
_SKETCHES = 512, 2048, 4096  # beyond, the first that is large enough
_FOLDED = 2048  # sketches of fewer numbers are folded from these: one program, computed once
_DENSEST = 0.9  # effective dimensions per number of a sketch
# Excess kurtosis of changes of φ between runs above which the card speaks of it. Development
# settings of the study have up to 3.4; deviations of every example's own change little there.
_UNEVEN = 2.0

_LOSSES = {
    "squared_error": "its signal is the prediction itself, whose shift has a sign that a gap of "
    "means does not show",
    "language_model": "the tokens of one text are not independent, and the sum of their signals "
    "has no curvature of its own",
}


def assess(
    apply: Apply,
    params: Any,
    members: tuple[Any, Any],
    held_out: tuple[Any, Any],
    *,
    rerun: tuple[Any, Any] | Sequence[tuple[Any, Any]] | None = None,
    loss: str = "cross_entropy",
    label_smoothing: float = 0.0,
    sketch_dimension: int | None = None,
    microbatch_size: int = 256,
    num_resamples: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> Assessment:
    """Predict the best membership attack on a classifier by someone who sees only the model.

    The attacker is LiRA with arbitrarily many shadow models. No shadow model is trained: the
    prediction comes from the gradients of the signal φ at the published parameters, with a ridge
    that is calibrated by the observed gap between members and held-out examples, and a deviation
    from one rerun.

    Args:
        apply: ``apply(params, x)`` gives the logits [B, C] of a batch, without randomness; row by
            row, so that no example changes another's (batch norm in inference mode).
        params: the published parameters, a pytree.
        members: what the model was trained on, a pair (x, y): every leaf of x [M, ...] as the
            model takes it, y classes [M].
        held_out: examples of the same kind that it was not trained on, prepared in the same way.
        rerun: one more training with another seed, on another random half of members and held-out
            examples: a pair (params, mask), the mask true for examples that it was trained on,
            members, then held out. It triples the precision of the gap, and measures the deviation;
            without it, the deviation is under-estimated and the attack over-estimated. A sequence
            of such pairs for more precision: the error of the gap falls with the root of their
            number.
        loss: what the model was trained with. Only cross-entropy.
        label_smoothing: share of each label that training spread over all classes, in [0, 1). It
            pulls examples towards one φ from both sides; the prediction then needs a rerun.
        sketch_dimension: numbers that each gradient is projected to, in place of the exact Gram
            matrix; None for the exact one up to 4,096 examples, and beyond the first of 512,
            2,048 and 4,096 that holds the effective dimensions.
        microbatch_size: examples whose gradients are in memory at a time.
        num_resamples: bootstrap resamples of the intervals.
        seed: of resampling and sketches.
        progress: called with the number of blocks done and of all blocks.

    Returns:
        The assessment. Where the gap is negative, not significant or too large to be explained,
        `Assessment.calibrated` is false and there is an upper limit at most.

    Raises:
        ValueError: an argument cannot be what it should be, one sentence each, before long work
            starts: labels out of range or one-hot, values that are not finite, held-out examples
            that are members, too few examples, a rerun that does not fit.
    """
    if loss != "cross_entropy":
        why = _LOSSES.get(loss, "its signal and curvature are not known here")
        raise ValueError(f"loss={loss!r} cannot be assessed: {why}; only 'cross_entropy' can")
    check_count("microbatch_size", microbatch_size)
    check_count("num_resamples", num_resamples)
    if sketch_dimension is not None:
        check_count("sketch_dimension", sketch_dimension)
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing={label_smoothing} must be in [0, 1)")
    if label_smoothing and rerun is None:
        raise ValueError(
            f"label_smoothing={label_smoothing} needs a rerun: it moves some signals up and others "
            "down, and a gap between means of different examples shows only what is left"
        )
    pool = checked_pool(apply, params, members, held_out)
    again = checked_reruns(params, rerun, pool)

    block = min(microbatch_size, len(pool.y))
    examples = (pool.x, pool.y)
    phi, right = signals(apply, params, examples, block)
    reruns = [(signals(apply, other, examples, block)[0], mask) for other, mask in again]
    target = 1 - label_smoothing * (1 - 1 / pool.num_classes)
    compared = compare(phi, pool.members, reruns, target)
    sizes: tuple[int | None, ...] = (sketch_dimension,)
    if sketch_dimension is None and len(pool.y) > _EXACT:
        sizes = _SKETCHES
    sketches = None
    for size in sizes:
        if size is None:
            gram = signal_gram(apply, params, examples, block, progress)
            spectrum = gram_spectrum(gram, phi, pool.members)
        else:
            if sketches is None or size > sketches.shape[1]:
                made = size if len(sizes) == 1 else max(size, _FOLDED)
                sketches = signal_sketches(apply, params, examples, block, made, seed, progress)
            spectrum = sketch_spectrum(folded(sketches, size), phi, pool.members)
        spectrum = replace(spectrum, target=target)
        fitted = calibrate(spectrum, compared)
        if size is None or _is_large_enough(size, fitted):
            break
    fitted = resample(spectrum, compared, fitted, num_resamples, seed)

    warnings, unsafe = [*pool.warnings, *label_noise(pool, phi, right)], list(pool.unsafe)
    if fitted.refusal is not None:
        unsafe.append(f"There is no calibration: {fitted.refusal}.")
        if size is not None and fitted.gap.significant:
            unsafe.append(f"Sketches of {size} numbers may be too small; try more.")
    elif size is not None and not _is_large_enough(size, fitted):
        unsafe.append(
            f"Sketches of {size} numbers are too small for {fitted.effective_dimension:.0f} "
            "effective dimensions; pass a sketch_dimension of twice that."
        )
    if compared.kurtosis is not None and compared.kurtosis > _UNEVEN:
        warnings.append(
            "The signal varies much more between trainings for some examples than for others "
            f"(excess kurtosis of its changes {compared.kurtosis:.1f}; 0 if it varies alike): the "
            "attack on single examples is less certain than their μ says."
        )
    if (
        not label_smoothing
        and compared.surest is not None
        and compared.surest.significantly_negative
    ):
        unsafe.append(
            "Training lowers the signal of the examples that the models are surest of, by "
            f"{-compared.surest.mean:.2g} ± {compared.surest.standard_error:.1g} nats: something "
            "pulls them back, as label smoothing does, and the attack is under-estimated. If the "
            "model was trained with it, pass label_smoothing."
        )
    if not reruns:
        warnings.append(
            "The deviation of the signal comes from a formula that leaves out initialization and "
            "order of batches: a half to an eighth of what it is where that was measured, so that "
            "the attack is over-estimated. A rerun measures it."
        )
    return Assessment(
        pool.y,
        pool.members,
        phi,
        right,
        fitted,
        len(reruns),
        size,
        tuple(warnings),
        tuple(unsafe),
    )


def _is_large_enough(size: int, fitted: Calibrated) -> bool:
    """Whether a sketch holds what the members determine, or no larger one would tell more."""
    if fitted.refusal is not None:
        return not fitted.gap.significant
    return fitted.effective_dimension <= _DENSEST * size
