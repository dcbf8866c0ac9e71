"""Let each example contribute only until it has disclosed its budget."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from gujax.transforms._aggregation import (
    Batch,
    Release,
    aggregate,
    count,
    measurement,
    released_uniqueness,
)
from gujax.transforms._scalars import Scalar, Size
from gujax.uniqueness import disclosure_bound
from gujax.validation import check_positive


def disclosure_budget(
    budget_nats: Scalar,
    num_examples: Size,
    *,
    ridge: Scalar = 0.0,
    relative_ridge: Scalar = 0.0,
    inclusion_probability: Scalar = 0.5,
    batch_size: Size | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Average the gradients of the examples that can still afford this step.

    An individual filter in the manner of Feldman & Zrnic 2021 (arXiv 2008.11193): an example
    contributes only if the nats it has spent so far, plus those of this step, stay within the
    budget; only contributing examples are charged. So no example ever exceeds the budget.

    Nats are the disclosure bound at the GNQ among the examples that *do* contribute. Leaving one
    out raises the GNQ of the others, so the rule is repeated on those that remain until all can
    afford the step. An example that could not afford it once cannot afford it with fewer others,
    hence this ends, after at most B rounds, with the largest set in which everyone is within
    budget.

    Ids must be distinct within a batch. An id outside [0, num_examples) cannot be charged, so it
    does not contribute. That the choice of contributors depends on the data is not accounted for.

    Args:
        budget_nats: nats that each example may disclose over the run; positive.
        num_examples: size N of the data set; `example_ids=` is required at every update.
        ridge: absolute ridge λ of GNQ, the attacker's noise variance over p(1−p); not negative.
        relative_ridge: λ as a fraction of the batch's mean squared gradient norm, instead.
        inclusion_probability: p in (0, 1), the attacker's prior that an example takes part.
        batch_size: physical batch size B; fixes the state's shapes at `init` (for `lax.scan`).

    Returns:
        Transformation whose `update(grads, state, params, *, example_ids, mask=None)` maps
        per-example gradients [B, ...] to the average over the contributing examples, 0 if none.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_positive("budget_nats", budget_nats)
    measure = measurement(ridge, relative_ridge)

    def rule(batch: Batch) -> Release:
        measured = measure(batch)
        spent = _spent(batch)

        def exceeding(gnq):
            return spent + disclosure_bound(gnq, inclusion_probability) > budget_nats

        def any_exceeding(carry):
            weights, gnq = carry
            return jnp.any((weights > 0) & exceeding(gnq))

        def leave_out(carry):
            weights, gnq = carry
            weights = jnp.where(exceeding(gnq), 0, weights)
            return weights, released_uniqueness(measured, weights)

        incoming = measured.uniqueness
        start = (batch.mask.astype(incoming.dtype), incoming)
        weights, released = jax.lax.while_loop(any_exceeding, leave_out, start)
        return Release(weights, count(weights > 0), incoming, released)

    return aggregate(rule, inclusion_probability, batch_size, num_examples)


def _spent(batch: Batch) -> Float[Array, " batch"]:
    """Nats that each example of the batch has disclosed so far; infinite for unknown ids."""
    assert batch.ledger is not None  # because num_examples is given
    assert batch.example_ids is not None
    nats, ids = batch.ledger.nats, batch.example_ids
    known = (ids >= 0) & (ids < nats.shape[0])
    return jnp.where(known, nats[ids], jnp.inf)
