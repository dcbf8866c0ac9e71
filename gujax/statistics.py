"""Means with their uncertainty."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats


class Interval(NamedTuple):
    """A mean and its confidence interval; `low` and `high` are NaN where one value says nothing."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the width of the interval, as in "mean ± half_width"."""
        return (self.high - self.low) / 2


def mean_interval(values: Float[np.ndarray, " repeats"], confidence: float = 0.95) -> Interval:
    """Mean of independent repeats with its Student-t interval.

    Args:
        values: One measurement per repeat, `[repeats]`. NaNs are left out.
        confidence: Coverage of the interval.

    Returns:
        The mean and the interval's ends. With fewer than two values the ends are NaN.
    """
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    if values.size == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    mean = float(values.mean())
    if values.size == 1:
        return Interval(mean, float("nan"), float("nan"))
    standard_error = stats.sem(values)
    if standard_error == 0:
        return Interval(mean, mean, mean)
    low, high = stats.t.interval(confidence, values.size - 1, loc=mean, scale=standard_error)
    return Interval(mean, float(low), float(high))
