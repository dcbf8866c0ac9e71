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
    signal: Float[np.ndarray, "models examples ..."],
    selected: Bool[np.ndarray, "models examples"],
    complements: bool = False,
) -> ShadowStatistics:
    """Statistics of the selected models, the target itself left out.

    Sums over all models minus the target's own term, after centering each example, in float64.

    Args:
        signal: [M, N, ...].
        selected: which models count for which example, [M, N].
        complements: whether the target's complement is left out as well, see `complement_of`.

    Returns:
        Mean and unbiased variance for every target and example.
    """
    chosen = selected.reshape(*selected.shape, *(1,) * (signal.ndim - 2))
    center = signal.mean(axis=0)
    centered = np.where(chosen, signal - center, 0.0)

    def others(values: np.ndarray) -> np.ndarray:
        left = values.sum(axis=0) - values
        return left - values[complement_of(len(values))] if complements else left

    count = others(selected.astype(int))
    divisor = count.reshape(chosen.shape).astype(float)
    total, squares = others(centered), others(centered**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / divisor
        variance = (squares - total * mean) / (divisor - 1)
    variance = np.where(divisor > 1, np.maximum(variance, 0.0), np.nan)
    return ShadowStatistics(count, mean + center, variance)


def complement_of(num_models: int) -> Int[np.ndarray, " models"]:
    """The model that was trained on what a model was not, in the order of `random_halves`."""
    half = num_models // 2
    return (np.arange(num_models) + half) % num_models


def check_complements(members: Bool[np.ndarray, "models examples"]) -> None:
    """Check that models come as `gujax.training.random_halves` gives them.

    Raises:
        ValueError: if not, or if there are fewer than 6.
    """
    if len(members) < 6 or not np.array_equal(members, ~members[complement_of(len(members))]):
        raise ValueError(
            "complements=True needs 6 models or more, each half of them trained on what the other "
            "half was not, in the same order, as gujax.training.random_halves gives them"
        )
