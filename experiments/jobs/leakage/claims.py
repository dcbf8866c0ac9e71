"""The claims about leakage by layer, held against what a run measured.

Rules, fixed before the first run: claims about parts of the network compare the largest value over
the layers of one part with the largest over the other, mean over epochs; the others compare the
mean over layers at the first level of a sweep with that at the last.
"""

from collections.abc import Iterator, Sequence

from experiments.framework.claims import Claim, test
from experiments.framework.results import Measured, Results
from experiments.jobs.leakage.measures import ATTACK, LATENT, SWEPT, Measure, original
from experiments.jobs.leakage.plan import Plan

_SOURCE = "arXiv 2105.13929"

# Sweeps that a claim is about: its key, and what lowers leakage.
_LOWERING = {
    "batch_size": ("leakage-aggregation", "Larger gradient aggregation (batch size)"),
    "batch_size,mixed": (
        "leakage-aggregation-mixed",
        "Larger gradient aggregation, where one example of the batch is the victim's,",
    ),
    "dropout": ("leakage-dropout", "Dropout"),
    "noise": ("leakage-noise", "Noise on the gradient, as in differential privacy,"),
}


def claims(plan: Plan, results: Results) -> Iterator[Claim]:
    """Every claim that the run tests."""
    yield _claim(
        "leakage-first-layers",
        "The first layers leak most original information: the most leaking layer of the first "
        "half of the network exceeds that of the second half, in every measure.",
        original(plan.space.is_image),
        results.where(contrast="first layers"),
    )
    yield _claim(
        "leakage-fully-connected",
        "The fully connected layers after the feature extractor leak most latent information: "
        "the most leaking of them exceeds the most leaking one before, in every measure.",
        LATENT,
        results.where(contrast="fully connected"),
    )
    yield _inference(results.where(contrast="attribute"))
    for sweep in plan.sweeps[1:]:
        key, what = _LOWERING[sweep.name]
        statement = (
            f"{what} lowers both original and latent information: the mean over layers is smaller "
            f"at {sweep.labels[-1]} than at {sweep.labels[0]}, in every measure."
        )
        yield _claim(key, statement, SWEPT, results.where(contrast=sweep.name))


def _inference(contrasts: Results) -> Claim:
    effects = {epoch: found.get("auc") for (epoch,), found in contrasts.groups("epoch")}
    measured = "; ".join(
        f"epoch {epoch}: AUC {mean:+.3f} [{low:+.3f}, {high:+.3f}]"
        for epoch, (mean, low, high) in ((e, x.interval) for e, x in effects.items())
    )
    return test(
        "leakage-attribute",
        "The gradient of one example tells the private attribute: in the mean over the first half "
        "of the layers, attribute inference beats the same attack on a shuffled attribute, at "
        "every epoch.",
        _SOURCE,
        measured,
        {f"epoch {epoch}: {ATTACK.label}": effect for epoch, effect in effects.items()},
    )


def _claim(key: str, statement: str, measures: Sequence[Measure], contrasts: Results) -> Claim:
    effects = {
        measure: effect
        for measure in measures
        if (effect := contrasts.find(measure.column)) is not None
    }
    texts = (f"{measure.label}: {_in_words(measure, x)}" for measure, x in effects.items())
    measured = "; ".join(texts) or "this network has no fully connected layers after convolutions"
    named = {f"{measure.label}{_in_unit(x)}": x for measure, x in effects.items()}
    return test(key, statement, _SOURCE, measured, named)


def _in_unit(effect: Measured) -> str:
    return f" ({effect.unit})" if effect.unit else ""


def _in_words(measure: Measure, effect: Measured) -> str:
    """An effect, positive where the claim holds."""
    mean, low, high = effect.interval
    if measure.log_scale:
        return f"by a factor of {10**mean:.2f} [{10**low:.2f}, {10**high:.2f}]"
    unit = f" {measure.unit}" if measure.unit else ""
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]{unit}"
