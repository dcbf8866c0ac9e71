"""What every transformation of per-example gradients has in common, written once.

A transformation differs from the others only in its *rule*: given the batch, which weight does
each example get, and what is the weighted sum divided by? `measurement` gives a rule the
uniqueness of the batch; `aggregate` turns the rule into an optax transformation that reduces the
gradients and keeps the ledger.
"""

import operator
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from gujax.gradients import DeferredGrads, FactoredLeaf, gram, num_examples, weighted_sum
from gujax.sharding import whole
from gujax.transforms._scalars import Scalar, Size
from gujax.transforms._state import AggregationState, empty_state, filled_state
from gujax.transforms._wrappers import refuse_wrappers
from gujax.trees import named_leaves
from gujax.uniqueness import (
    Ledger,
    disclosure_bound,
    init_ledger,
    membership_mu,
    resolve_ridge,
    uniqueness,
    update_ledger,
)
from gujax.validation import check_count, check_nonnegative, check_probability, is_concrete


class Batch(NamedTuple):
    """What a rule is given; ids and ledger are there if a ledger is kept."""

    grads: PyTree
    mask: Bool[Array, " batch"]
    example_ids: Int[Array, " batch"] | None
    ledger: Ledger | None


class Release(NamedTuple):
    """What a rule decides: the released update is Σ weights_i g_i / divisor.

    `uniqueness` is what the state shows, in general that of the g_i; `released` is that of the
    weights_i g_i, with which the ledger is charged. Both None if the rule does not measure.
    `update` is the released update where the rule has formed it already.
    """

    weights: Float[Array, " batch"]
    divisor: Scalar
    uniqueness: Float[Array, " batch"] | None = None
    released: Float[Array, " batch"] | None = None
    update: PyTree | None = None


class Measurement(NamedTuple):
    """Uniqueness of a batch, and what it takes to measure its gradients again, weighted.

    Only the ratio of kernel and ridge matters: they may be in units of the ridge.
    """

    kernel: Float[Array, "batch batch"]
    ridge: Scalar
    uniqueness: Float[Array, " batch"]


def measurement(ridge: Scalar, relative_ridge: Scalar) -> Callable[..., Measurement]:
    """Function that measures the uniqueness of a batch under one of the two ridges.

    It takes the batch and, optionally, weights: then it measures the weighted gradients; and the
    Gram matrix where there is one already. The uniqueness is NaN where a gradient's squared norm is
    not finite.

    Args:
        ridge: absolute ridge λ, not negative.
        relative_ridge: ridge as a fraction of the mean squared gradient norm of the batch.

    Raises:
        ValueError: if a ridge is negative or both are positive; traced values are not checked.
    """
    check_nonnegative("ridge", ridge)
    check_nonnegative("relative_ridge", relative_ridge)
    if _known_positive(ridge) and _known_positive(relative_ridge):
        raise ValueError(
            f"ridge={ridge} and relative_ridge={relative_ridge}: give one of the two and leave "
            "the other 0"
        )
    known_positive = _known_positive(ridge) or _known_positive(relative_ridge)

    def measure(
        batch: Batch,
        weights: Float[Array, " batch"] | None = None,
        kernel: Float[Array, "batch batch"] | None = None,
    ) -> Measurement:
        kernel = gram(batch.grads) if kernel is None else kernel
        strength = resolve_ridge(kernel, ridge, relative_ridge, mask=batch.mask)
        if weights is not None:
            kernel = _weighted(kernel, weights)
        if known_positive:
            # In units of the ridge, the ridge is the plain number 1, for which `uniqueness` needs
            # no branch; under vmap, both sides of a branch would be computed.
            kernel = kernel / jnp.where(strength == 0, 1, strength)
            strength = 1.0
        gnq = uniqueness(kernel, strength, mask=batch.mask)
        finite = jnp.isfinite(jnp.diagonal(kernel)) | ~batch.mask
        return Measurement(kernel, strength, jnp.where(finite, gnq, jnp.nan))

    return measure


def released_uniqueness(
    measured: Measurement, weights: Float[Array, " batch"]
) -> Float[Array, " batch"]:
    """GNQ of the weighted gradients w_i g_i among themselves, under the ridge of the batch.

    The ridge is the attacker's noise: it does not shrink when the gradients do, so a relative
    ridge stays what it was on the incoming batch.
    """
    return uniqueness(_weighted(measured.kernel, weights), measured.ridge, mask=weights != 0)


def count(selected: Bool[Array, " batch"]) -> Int[Array, ""]:
    """Number of selected examples, or 1 if there are none: the sum over none is 0 already."""
    return jnp.maximum(jnp.sum(selected), 1)


def up_to_quantile(
    values: Float[Array, " batch"], quantile: Scalar, mask: Bool[Array, " batch"]
) -> Bool[Array, " batch"]:
    """The unmasked examples whose value is at most the quantile: never none, but for NaN."""
    # "lower" is a value of the batch: interpolating between infinities would give NaN.
    limit = jnp.nanquantile(jnp.where(mask, values, jnp.nan), quantile, method="lower")
    return mask & (values <= limit)


def audited_release(
    batch: Batch,
    weights: Float[Array, " batch"],
    divisor: Scalar,
    measure: Callable[[Batch], Measurement] | None,
) -> Release:
    """A release whose weights do not depend on the uniqueness, measured if `measure` is given."""
    if measure is None:
        return Release(weights, divisor)
    measured = measure(batch)
    released = released_uniqueness(measured, weights)
    return Release(weights, divisor, measured.uniqueness, released)


def aggregate(
    rule: Callable[[Batch], Release],
    inclusion_probability: Scalar,
    batch_size: Size | None,
    num_examples: Size | None,
    *,
    measures: bool = True,
) -> optax.GradientTransformationExtraArgs:
    """Optax transformation that releases the weighted sum of gradients that `rule` decides on.

    If the weight or the uniqueness of any unmasked example is NaN (its gradient is not finite),
    all weights of the batch become NaN: the update is NaN wherever the batch's gradients reach, so
    the failure cannot pass unnoticed and nothing is released unguarded; the ledger is not charged.
    A mask removes an example's weight but not a NaN in its gradient (0 · NaN = NaN): padded
    examples must have finite gradients.

    Args:
        rule: maps a `Batch` to a `Release`.
        inclusion_probability: p of the disclosure bound.
        batch_size: physical batch size B; None for any of up to `MOST_EXAMPLES` examples.
        num_examples: size N of the data set, to keep a ledger.
        measures: whether the rule measures uniqueness; required for a ledger.

    Raises:
        ValueError: if `inclusion_probability` is not in (0, 1); at `init`, for a size that is not
            a positive int; at `update`, if `example_ids` is missing, or holds (outside jit) an id
            that is not in [0, num_examples), or an argument has not one entry per example.
    """
    check_probability("inclusion_probability", inclusion_probability)

    def init(params: PyTree) -> AggregationState:
        refuse_wrappers(params)
        size = None if batch_size is None else _static_size("batch_size", batch_size)
        dtype = jnp.result_type(jnp.float32, *jax.tree.leaves(params))
        ledger = None
        if num_examples is not None:
            ledger = init_ledger(_static_size("num_examples", num_examples))
        return empty_state(size, dtype, ledger, measures)

    def update(
        updates: PyTree,
        state: AggregationState,
        params: PyTree | None = None,
        *,
        example_ids: Int[Array, " batch"] | None = None,
        mask: Bool[Array, " batch"] | None = None,
        **extra: object,
    ) -> tuple[PyTree, AggregationState]:
        del extra
        refuse_wrappers(updates)
        _check_per_example(updates, params)
        size = _checked_size(updates, state)
        # What a checkpoint gives back may be NumPy's.
        state = jax.tree.map(jnp.asarray, state)
        mask = jnp.ones(size, bool) if mask is None else _per_example("mask", mask, size)
        mask = mask.astype(bool)
        if state.ledger is not None:
            if example_ids is None:
                raise ValueError(
                    "example_ids is missing: num_examples was given, so a ledger is kept per "
                    "example; call update(grads, state, params, example_ids=ids)"
                )
            example_ids = _per_example("example_ids", example_ids, size)
            _check_ids(example_ids, mask, state.ledger.steps.shape[0])
        release = rule(Batch(updates, mask, example_ids, state.ledger))

        dtype = state.slots.dtype
        undefined = jnp.isnan(release.weights)
        shown = release.uniqueness
        if shown is not None:
            shown = shown.astype(dtype)
            undefined |= jnp.isnan(shown)
        poisoned = jnp.any(undefined & mask)
        weights = jnp.where(mask, jnp.where(poisoned, jnp.nan, release.weights), 0).astype(dtype)

        ledger = state.ledger
        if ledger is not None and example_ids is not None and release.released is not None:
            ledger = update_ledger(
                ledger,
                example_ids,
                disclosure_bound(release.released, inclusion_probability),
                membership_mu(release.released, inclusion_probability),
                mask=weights > 0,
            )
        # The division is folded into the weights: dividing B numbers costs nothing, dividing
        # every gradient is one more pass over all parameters.
        if release.update is None:
            released = weighted_sum(updates, weights / release.divisor)
        else:
            released = jax.tree.map(lambda x: jnp.where(poisoned, jnp.nan, x), release.update)
        return released, filled_state(state, shown, weights, ledger)

    return optax.GradientTransformationExtraArgs(init, update)


def _weighted(kernel: Float[Array, "n n"], weights: Float[Array, " n"]) -> Float[Array, "n n"]:
    return kernel * weights[:, None] * weights[None, :]


def _known_positive(value: Scalar) -> bool:
    return is_concrete(value) and bool(np.asarray(value) > 0)


def _static_size(name: str, value: Size) -> int:
    try:
        size = operator.index(value)
    except (TypeError, jax.errors.TracerIntegerConversionError) as error:
        raise ValueError(
            f"{name}={value} must be a Python int, because it is the shape of an array; if it was "
            f"traced by optax.inject_hyperparams, pass it static_args=('{name}',)"
        ) from error
    check_count(name, size)
    return size


def _check_per_example(updates: PyTree, params: PyTree | None) -> None:
    """Raise ValueError where an update of dense gradients has the shape of its parameter."""
    if params is None or isinstance(updates, DeferredGrads):
        return
    shapes = {name: jnp.shape(leaf) for name, leaf in named_leaves(params)}
    for name, leaf in named_leaves(updates):
        if not isinstance(leaf, FactoredLeaf) and jnp.shape(leaf)[1:] != shapes.get(name):
            raise ValueError(
                f"the update of the parameter {name or '(the only one)'} has the shape "
                f"{jnp.shape(leaf)}, the parameter itself {shapes.get(name)}: expected per-example "
                "gradients [examples, …] (see gujax.per_example_grads), as no other transformation "
                "or accumulation has touched them"
            )


def _checked_size(updates: PyTree, state: AggregationState) -> int:
    size, slots = num_examples(updates), state.slots.shape[0]
    if state.filled is None and size != slots:
        raise ValueError(
            f"batch_size={slots} but the updates hold {size} examples: pass per-example "
            "gradients of batches padded to batch_size (with mask=), or leave batch_size=None"
        )
    if size > slots:
        raise ValueError(
            f"the updates hold {size} examples, and the state was made for up to {slots}: give "
            f"the transformation batch_size={size}"
        )
    return size


def _per_example(name: str, value: Array, size: int) -> Array:
    value = whole(jnp.asarray(value))
    if value.shape != (size,):
        raise ValueError(f"{name} has shape {value.shape}, expected one per example: ({size},)")
    return value


def _check_ids(ids: Array, mask: Array, num_examples: int) -> None:
    if not (is_concrete(ids) and is_concrete(mask)):
        return
    unknown = np.asarray(ids)[np.asarray(mask & ((ids < 0) | (ids >= num_examples)))]
    if unknown.size:
        raise ValueError(
            f"example_ids holds {unknown[0]}, outside [0, num_examples={num_examples}): give the "
            "size of the whole data set, or mask the padded examples"
        )
