"""Drop the examples of each batch whose gradient is long: the control of the gate by uniqueness."""

import jax.numpy as jnp
import optax

from gujax.gradients import squared_norms
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
from gujax.validation import check_probability


def norm_gate(
    quantile: Scalar,
    *,
    ridge: Scalar = 0.0,
    relative_ridge: Scalar = 0.0,
    inclusion_probability: Scalar = 0.5,
    batch_size: Size | None = None,
    num_examples: Size | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Average the gradients of the examples whose norm is at most a quantile of the batch's.

    `uniqueness_gate` is worth its solve only where it does better than this, which needs none.

    Args:
        quantile: drop examples whose gradient's L2 norm is above this quantile, in [0, 1], of the
            unmasked examples of the batch (numpy's method "lower", so never all of them).
        ridge: absolute ridge λ of GNQ, for the ledger alone; not negative.
        relative_ridge: λ as a fraction of the batch's mean squared gradient norm, instead.
        inclusion_probability: p in (0, 1), the attacker's prior that an example takes part.
        batch_size: physical batch size B; fixes the state's shapes at `init` (for `lax.scan`).
        num_examples: size N of the data set; if given, a ledger is kept, `example_ids=` required.

    Returns:
        Transformation whose `update(grads, state, params, *, example_ids=None, mask=None)` maps
        per-example gradients [B, ...] to the average over the kept examples. One whose norm is not
        finite makes it NaN.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_probability("quantile", quantile, open=False)
    measuring = measurement(ridge, relative_ridge)
    measure = None if num_examples is None else measuring

    def rule(batch: Batch) -> Release:
        squared = squared_norms(batch.grads)
        kept = up_to_quantile(squared, quantile, batch.mask)
        weights = jnp.where(jnp.isfinite(squared), kept.astype(squared.dtype), jnp.nan)
        return audited_release(batch, weights, count(kept), measure)

    return aggregate(
        rule, inclusion_probability, batch_size, num_examples, measures=num_examples is not None
    )
