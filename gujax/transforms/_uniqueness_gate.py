"""Drop the examples of each batch whose gradient is too unique."""

import jax.numpy as jnp
import optax

from gujax.transforms._aggregation import (
    Batch,
    Release,
    aggregate,
    count,
    measurement,
    released_uniqueness,
    up_to_quantile,
)
from gujax.transforms._scalars import Scalar, Size
from gujax.validation import check_nonnegative, check_probability


def uniqueness_gate(
    threshold: Scalar | None = None,
    quantile: Scalar | None = None,
    *,
    ridge: Scalar = 0.0,
    relative_ridge: Scalar = 0.0,
    inclusion_probability: Scalar = 0.5,
    batch_size: Size | None = None,
    num_examples: Size | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Average the gradients of the examples whose GNQ is at most a threshold or batch quantile.

    One pass: GNQ is measured on the whole batch. Dropping an example takes it out of the others'
    second moment, so those that stay may end up *above* the threshold among themselves; the ledger
    charges them with that larger value. For a cap that holds on what is released, use
    `uniqueness_clip`, and for one that holds over the run, `disclosure_budget`.

    A dropped example has weight 0 and the ledger charges it nothing for this step. The decision
    to drop it depends on the data and is itself visible in principle (it changes the update of the
    others): the bound does not account for that.

    Args:
        threshold: drop examples with GNQ > threshold (not negative). `inf` drops none: a monitor.
        quantile: drop examples with GNQ above this quantile, in [0, 1], of the unmasked examples
            of the batch (numpy's method "lower", so never all of them). Exactly one of threshold
            and quantile is given.
        ridge: absolute ridge λ of GNQ, the attacker's noise variance over p(1−p); not negative.
        relative_ridge: λ as a fraction of the batch's mean squared gradient norm, instead.
        inclusion_probability: p in (0, 1), the attacker's prior that an example takes part.
        batch_size: physical batch size B; fixes the state's shapes at `init` (for `lax.scan`).
        num_examples: size N of the data set; if given, a ledger is kept, `example_ids=` required.

    Returns:
        Transformation whose `update(grads, state, params, *, example_ids=None, mask=None)` maps
        per-example gradients [B, ...] to the average over the kept examples, 0 if none is kept.

    Raises:
        ValueError: if not exactly one of threshold and quantile is given, or a value is out of
            its range.
    """
    if (threshold is None) == (quantile is None):
        raise ValueError(f"threshold={threshold}, quantile={quantile}: give exactly one of the two")
    if threshold is not None:
        check_nonnegative("threshold", threshold)
    if quantile is not None:
        check_probability("quantile", quantile, open=False)
    measure = measurement(ridge, relative_ridge)

    def rule(batch: Batch) -> Release:
        measured = measure(batch)
        gnq = measured.uniqueness
        if quantile is None:
            kept = batch.mask & (gnq <= jnp.asarray(threshold))
        else:
            kept = up_to_quantile(gnq, quantile, batch.mask)
        weights = kept.astype(gnq.dtype)
        return Release(weights, count(kept), gnq, released_uniqueness(measured, weights))

    return aggregate(rule, inclusion_probability, batch_size, num_examples)
