"""Variances of few shadow models, each shrunk to those of the other examples."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import digamma, polygamma

# As good as equal variances; a larger number of degrees of freedom changes no score.
_LARGEST_PRIOR = 1e6
# A variance counts as at least this share of the pooled one where its logarithm is taken.
_SMALLEST_SHARE = 1e-9
_MAX_NEWTON_STEPS = 50


class ShrunkVariance(NamedTuple):
    """Variances of a signal and how much is known of them, [M, N, ...].

    Attributes:
        variance: shrunk variance of each target and example.
        degrees: its degrees of freedom d + d₀, those of the example's own models and of the prior.
    """

    variance: Float[np.ndarray, "models examples ..."]
    degrees: Float[np.ndarray, "models examples ..."]


def shrink_variances(
    squares: Float[np.ndarray, "models examples ..."],
    degrees: Float[np.ndarray, "models examples ..."],
) -> ShrunkVariance:
    """Shrink the variance of each example to what is usual among the examples of its target.

    Empirical Bayes with a scaled inverse χ² prior (Smyth 2004, Linear models and empirical Bayes
    methods for assessing differential expression in microarray experiments, SAGMB 3, section 6):

        v_n = (SS_n + d₀ s₀²) / (d_n + d₀),

    with SS_n the sum of squared deviations of example n and d_n its degrees of freedom. d₀ and s₀²
    are fitted to the variances of all examples by the mean and the variance of log(SS_n/d_n): with
    e_n = log(SS_n/d_n) − ψ(d_n/2) + log(d_n/2),

        ψ'(d₀/2) = Var(e) − mean ψ'(d_n/2)  and  log s₀² = mean e + ψ(d₀/2) − log(d₀/2).

    Where all examples vary alike, d₀ is large and v is one pooled variance; where some vary ten
    times as much as others, d₀ is near 1 and every example goes by its own models.

    Args:
        squares: SS, the sum of squared deviations from the mean (or the means) of the shadow
            models, [M, N, ...].
        degrees: d, their degrees of freedom, that broadcast to it; an example with 0 gets s₀².

    Returns:
        Variances and degrees of freedom; NaN where no example of a target has a degree of freedom.
    """
    known = degrees > 0
    d = np.where(known, degrees, 1.0)
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)

    def average(values: np.ndarray) -> np.ndarray:
        return np.where(known, values, 0.0).sum(axis=1, keepdims=True) / count

    total = np.where(known, degrees, 0.0).sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        pooled = np.where(known, squares, 0.0).sum(axis=1, keepdims=True) / total
    smallest = np.maximum(_SMALLEST_SHARE * pooled, np.finfo(float).tiny)
    e = np.log(np.maximum(squares / d, smallest)) - digamma(d / 2) + np.log(d / 2)
    center = average(e)
    spread = average((e - center) ** 2) * count / np.maximum(count - 1, 1)
    excess = np.maximum(spread - average(polygamma(1, d / 2)), 2 / _LARGEST_PRIOR)
    prior = 2 * _inverse_trigamma(excess)
    scale = np.exp(center + digamma(prior / 2) - np.log(prior / 2))
    variance = (np.where(known, squares, 0.0) + prior * scale) / (np.where(known, d, 0.0) + prior)
    return ShrunkVariance(np.where(total > 0, variance, np.nan), np.where(known, d, 0.0) + prior)


def _inverse_trigamma(y: np.ndarray) -> np.ndarray:
    """The x with ψ'(x) = y, by Newton's method on 1/ψ', which is close to linear (Smyth 2004)."""
    x = 0.5 + 1 / y
    for _ in range(_MAX_NEWTON_STEPS):
        value = polygamma(1, x)
        step = value * (1 - value / y) / polygamma(2, x)
        x = x + step
        if np.all(np.abs(step) <= 1e-10 * x):
            break
    return x
