"""Drop examples of each batch by chance: the control of every gate."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from gujax.transforms._aggregation import (
    Batch,
    Release,
    Scalar,
    Size,
    aggregate,
    count,
    measurement,
    released_uniqueness,
)
from gujax.transforms._state import AggregationState
from gujax.uniqueness import Ledger
from gujax.validation import check_probability


class ChanceGateState(NamedTuple):
    """State of `chance_gate`: that of every aggregation (`AggregationState`) and the draws' key."""

    aggregation: AggregationState
    key: PRNGKeyArray

    @property
    def uniqueness(self) -> Float[Array, "batch"] | None:
        """See `AggregationState`."""
        return self.aggregation.uniqueness

    @property
    def weights(self) -> Float[Array, "batch"]:
        """See `AggregationState`."""
        return self.aggregation.weights

    @property
    def ledger(self) -> Ledger | None:
        """See `AggregationState`."""
        return self.aggregation.ledger

    @property
    def batch_size(self) -> int | None:
        """See `AggregationState`."""
        return self.aggregation.batch_size


def chance_gate(
    quantile: Scalar,
    key: PRNGKeyArray,
    *,
    ridge: Scalar = 0.0,
    relative_ridge: Scalar = 0.0,
    inclusion_probability: Scalar = 0.5,
    batch_size: Size | None = None,
    num_examples: Size | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Average the gradients of as many examples as a gate keeps, drawn from the batch by chance.

    What a gate does merely by training on less of each batch, this does as well.

    Args:
        quantile: share of the unmasked examples that is kept, in [0, 1]: as many as have a value
            of their own at most the quantile (numpy's method "lower", so never none).
        key: PRNG key of the draws; it lives in the state. May be traced or batched by `vmap`.
        ridge: absolute ridge λ of GNQ, for the ledger alone; not negative.
        relative_ridge: λ as a fraction of the batch's mean squared gradient norm, instead.
        inclusion_probability: p in (0, 1), the attacker's prior that an example takes part.
        batch_size: physical batch size B; fixes the state's shapes at `init` (for `lax.scan`).
        num_examples: size N of the data set; if given, a ledger is kept, `example_ids=` required.

    Returns:
        Transformation whose `update(grads, state, params, *, example_ids=None, mask=None)` maps
        per-example gradients [B, ...] to the average over the kept examples.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_probability("quantile", quantile, open=False)
    measure = measurement(ridge, relative_ridge)

    def averaging(draw_key: PRNGKeyArray) -> optax.GradientTransformationExtraArgs:
        def rule(batch: Batch) -> Release:
            draws = jax.random.uniform(draw_key, batch.mask.shape)
            limit = jnp.nanquantile(
                jnp.where(batch.mask, draws, jnp.nan), jnp.asarray(quantile), method="lower"
            )
            kept = batch.mask & (draws <= limit)
            weights = kept.astype(draws.dtype)
            if num_examples is None:
                return Release(weights, count(kept))
            measured = measure(batch)
            released = released_uniqueness(measured, weights)
            return Release(weights, count(kept), measured.uniqueness, released)

        return aggregate(
            rule,
            measures=num_examples is not None,
            inclusion_probability=inclusion_probability,
            batch_size=batch_size,
            num_examples=num_examples,
        )

    def init(params: PyTree) -> ChanceGateState:
        # A copy, so that donating the state does not delete the caller's key.
        return ChanceGateState(averaging(key).init(params), jnp.copy(key))

    def update(
        updates: PyTree, state: ChanceGateState, params: PyTree | None = None, **extra: object
    ) -> tuple[PyTree, ChanceGateState]:
        next_key, draw_key = jax.random.split(state.key)
        released, inner = averaging(draw_key).update(updates, state.aggregation, params, **extra)
        return released, ChanceGateState(inner, next_key)

    return optax.GradientTransformationExtraArgs(init, update)
