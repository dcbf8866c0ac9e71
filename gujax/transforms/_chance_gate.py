"""Drop examples of each batch by chance: the control of every gate."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray, PyTree

from gujax.transforms._aggregation import (
    Batch,
    Release,
    aggregate,
    audited_release,
    count,
    measurement,
    up_to_quantile,
)
from gujax.transforms._scalars import Scalar, Size
from gujax.transforms._state import KeyedState
from gujax.validation import check_probability


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
    measuring = measurement(ridge, relative_ridge)
    measure = None if num_examples is None else measuring

    def averaging(draw_key: PRNGKeyArray) -> optax.GradientTransformationExtraArgs:
        def rule(batch: Batch) -> Release:
            draws = jax.random.uniform(draw_key, batch.mask.shape)
            kept = up_to_quantile(draws, quantile, batch.mask)
            return audited_release(batch, kept.astype(draws.dtype), count(kept), measure)

        return aggregate(
            rule, inclusion_probability, batch_size, num_examples, measures=num_examples is not None
        )

    def init(params: PyTree) -> KeyedState:
        # A copy, so that donating the state does not delete the caller's key.
        return KeyedState(averaging(key).init(params), jnp.copy(key))

    def update(
        updates: PyTree, state: KeyedState, params: PyTree | None = None, **extra: object
    ) -> tuple[PyTree, KeyedState]:
        next_key, draw_key = jax.random.split(state.key)
        released, inner = averaging(draw_key).update(updates, state.aggregation, params, **extra)
        return released, KeyedState(inner, next_key)

    return optax.GradientTransformationExtraArgs(init, update)
