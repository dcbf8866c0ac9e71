"""Numbers with their uncertainty: t-intervals of repeats, intervals over examples."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats


class Interval(NamedTuple):
    """A number and its confidence interval.

    Attributes:
        mean: Mean over repeats or examples; or another statistic of them, such as an AUC.
        low: Lower end; NaN where nothing is known of the uncertainty, as of a single repeat.
        high: Upper end, likewise.
    """

    mean: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """Deprecated: `mean`, by the name that it had in `gujax.attacks.membership.Estimate`."""
        return self.mean

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


def bootstrap(
    statistics: Callable[[Float[np.ndarray, " examples"]], Sequence[float]],
    num_examples: int,
    *,
    num_resamples: int,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Interval]:
    """Statistics of weighted examples with their percentile bootstrap intervals.

    Args:
        statistics: One or more statistics, given how often each example counts, `[examples]`.
        num_examples: Number of examples.
        num_resamples: Number of bootstrap resamples; 0 for none (the ends are then NaN).
        confidence: Coverage of the intervals.
        seed: Seed of the resampling.

    Returns:
        Every statistic of the examples as they are, with its interval.
    """
    values = [float(value) for value in statistics(np.ones(num_examples))]
    if num_resamples == 0:
        return [Interval(value, float("nan"), float("nan")) for value in values]
    rng = np.random.default_rng(seed)
    shares = np.full(num_examples, 1 / num_examples)
    # One after another: a resample that stays in the cache is faster than many at once.
    resamples = [statistics(rng.multinomial(num_examples, shares)) for _ in range(num_resamples)]
    return [
        percentile_interval(resampled, confidence)._replace(mean=value)
        for value, resampled in zip(values, np.array(resamples).T)
    ]


def bootstrap_mean(values: Float[np.ndarray, " examples"], seed: int) -> Interval:
    """Mean over examples with its 95 % percentile bootstrap interval.

    Args:
        values: One per example, `[examples]`.
        seed: Seed of the resampling.
    """
    if np.ptp(values) == 0:
        return Interval(*3 * (float(values[0]),))
    resampled = stats.bootstrap(
        (values,), np.mean, n_resamples=1000, batch=100, method="percentile", rng=seed
    )
    low, high = resampled.confidence_interval
    return Interval(float(values.mean()), float(low), float(high))


def share_interval(holds: Bool[np.ndarray, " examples"], confidence: float = 0.95) -> Interval:
    """Share of examples for which something holds, with its exact interval.

    Unlike the bootstrap's it has a width where something holds for none or for all: of 0 in n it
    reaches up to about 3.7 / n.

    Args:
        holds: Whether it does, for each independent example, `[examples]`.
        confidence: Coverage of the interval, at least. Source: Clopper and Pearson 1934.
    """
    low, high = stats.binomtest(int(np.sum(holds)), len(holds)).proportion_ci(confidence)
    return Interval(float(np.mean(holds)), float(low), float(high))


def jackknife_half_width(without: Float[np.ndarray, " groups"], confidence: float = 0.95) -> float:
    """Half the width of a statistic's interval over examples, by the delete-a-group jackknife.

    Args:
        without: The statistic of all examples but one of G random groups of equal size, for each of
            these groups, `[groups]`.
        confidence: Coverage of the interval.

    Returns:
        The quantile of Student's t with G − 1 degrees of freedom times the standard error,
        √((G − 1)/G · Σ (θ₋g − mean)²); NaN of fewer than two groups. Source: Kott 2001, The
        delete-a-group jackknife.
    """
    num_groups = len(without)
    if num_groups < 2:
        return float("nan")
    error = np.sqrt((num_groups - 1) * np.var(without))
    return float(stats.t.ppf((1 + confidence) / 2, num_groups - 1) * error)


def percentile_interval(draws: Float[np.ndarray, " draws"], confidence: float = 0.95) -> Interval:
    """Mean of random draws, and the quantiles between which the share `confidence` of them lies.

    Args:
        draws: Such as resampled statistics, or controls with something shuffled, `[draws]`.
        confidence: Share of the draws between the ends.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(np.mean(draws)), float(low), float(high))
