"""Leave-one-out statistics over shadow models."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class ShadowStatistics(NamedTuple):
    """Mean and variance of a signal over the shadow models of each target, [M, N, ...].

    Entry (m, n) is over the models other than m that are on the chosen side of example n.
    ``num_models`` is their number, [M, N]; without models the mean is NaN, with fewer than two the
    variance is NaN.
    """

    num_models: Int[np.ndarray, "models examples"]
    mean: Float[np.ndarray, "models examples ..."]
    variance: Float[np.ndarray, "models examples ..."]


def leave_one_out(
    signal: Float[np.ndarray, "models examples ..."], selected: Bool[np.ndarray, "models examples"]
) -> ShadowStatistics:
    """Statistics of the selected models, the target itself left out.

    Sums over all models minus the target's own term, after centering each example, in float64.

    Args:
        signal: [M, N, ...].
        selected: which models count for which example, [M, N].

    Returns:
        Mean and unbiased variance for every target and example.
    """
    chosen = selected.reshape(*selected.shape, *(1,) * (signal.ndim - 2))
    center = signal.mean(axis=0)
    centered = np.where(chosen, signal - center, 0.0)
    count = selected.sum(axis=0) - selected
    divisor = count.reshape(chosen.shape).astype(float)
    total = centered.sum(axis=0) - centered
    squares = (centered**2).sum(axis=0) - centered**2
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / divisor
        variance = (squares - total * mean) / (divisor - 1)
    variance = np.where(divisor > 1, np.maximum(variance, 0.0), np.nan)
    return ShadowStatistics(count, mean + center, variance)
