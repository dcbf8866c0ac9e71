"""Plain averaging, as a transformation, so that the baseline is the same optax chain."""

import optax

from gujax.gradients import gram_and_sum
from gujax.transforms._aggregation import Batch, Release, aggregate, count, measurement
from gujax.transforms._scalars import Scalar, Size


def mean(
    *,
    ridge: Scalar = 0.0,
    relative_ridge: Scalar = 0.0,
    inclusion_probability: Scalar = 0.5,
    batch_size: Size | None = None,
    num_examples: Size | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Average the per-example gradients of the unmasked examples: plain SGD, optionally audited.

    Without `num_examples` nothing is measured and the step costs what a plain step costs
    (`state.uniqueness` is None). With it, the uniqueness of every example is measured and the
    ledger kept, and the update is the same.

    Args:
        ridge: absolute ridge λ of GNQ, the attacker's noise variance over p(1−p); not negative.
        relative_ridge: λ as a fraction of the batch's mean squared gradient norm, instead.
        inclusion_probability: p in (0, 1), the attacker's prior that an example takes part.
        batch_size: physical batch size B; fixes the state's shapes at `init` (for `lax.scan`).
        num_examples: size N of the data set; if given, a ledger is kept, `example_ids=` required.

    Returns:
        Transformation whose `update(grads, state, params, *, example_ids=None, mask=None)` maps
        per-example gradients [B, ...] to their average, 0 if every example is masked.

    Raises:
        ValueError: if an argument is out of its range.
    """

    measure = measurement(ridge, relative_ridge)

    def rule(batch: Batch) -> Release:
        weights, divisor = batch.mask.astype(float), count(batch.mask)
        if num_examples is None:
            return Release(weights, divisor)
        kernel, average = gram_and_sum(batch.grads, weights / divisor)
        gnq = measure(batch, kernel=kernel).uniqueness
        return Release(weights, divisor, uniqueness=gnq, released=gnq, update=average)

    return aggregate(
        rule, inclusion_probability, batch_size, num_examples, measures=num_examples is not None
    )
