"""The likelihood-ratio attack."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import norm

from gujax.attacks.membership._checks import check_members
from gujax.attacks.membership._shadows import ShadowStatistics, check_complements, leave_one_out
from gujax.attacks.membership._shrinkage import shrink_variances

# Keeps a likelihood finite where all shadow models agree to the last digit.
_SMALLEST_DEVIATION = 1e-12

Variance = Literal["global", "per_example", "shrunk"]


def lira(
    phi: Float[np.ndarray, "models examples *augmentations"],
    members: Bool[np.ndarray, "models examples"],
    *,
    mode: Literal["online", "offline"] = "online",
    variance: Variance = "global",
    shared: bool = False,
    complements: bool = False,
) -> Float[np.ndarray, "models examples"]:
    """Likelihood-ratio attack (LiRA; Carlini et al. 2022, arXiv 2112.03570, algorithm 1).

    For each target and example, a Gaussian is fitted to the signal φ of the shadow models trained
    with the example, another to that of those trained without. Online: the score is the log of
    the likelihood ratio of the target's φ. Offline: only the second Gaussian is used, one-sided;
    the score is (φ − mean)/deviation, which orders examples as the paper's 1 − Pr[Z > φ] does.

    Where an example is queried under K augmentations, their φ are taken as independent, and
    log-likelihoods (offline: standardized φ) are averaged.

    One variance for all examples is the wrong one for most where a defense changes who varies: of
    a gate it finds a fifth of what can be found. ``variance="shrunk", shared=True`` is the
    strongest choice at any number of models. It goes by the predictive distribution of φ, Student's
    t around the shadows' mean with

        z² = (φ − mean)² / (v (1 + 1/k)),  log p = −½ log v − ½(ν + 1) log(1 + z²/ν),

    with k shadow models on the side, v and ν as of `shrink_variances` (a Student-t predictive is
    also what BaVarIA goes by, Brännvall 2026, arXiv 2603.11799). What p's normalization says about
    k alone is left out: with exact halves a member has one shadow fewer on its own side than a
    non-member has, and k would betray the answer. For the same reason the Gaussians of the other
    choices find less than nothing where there is nothing to find, an AUC of 0.46 with 6 models
    (0.495 with 16), while this one's is 0.5 if φ is Gaussian and the variance shared: z² then has
    the same distribution on both sides. (AUCs of single examples stay biased, as with any
    leave-one-out: the models that an example's scores are compared over are each other's shadows;
    `auc_of_examples` is not.)

    Args:
        phi: signal of each model on each example, [M, N] or [M, N, K]; `scaled_confidence`.
        members: whether the model was trained on the example, [M, N].
        mode: ``"online"`` or ``"offline"``.
        variance: ``"shrunk"`` estimates variances for each example, shrunk to those of the others;
            ``"per_example"`` for each example alone (the paper's choice from about 64 shadow
            models on); ``"global"`` one pair of variances for all examples of a target, pooled
            within examples. (The paper's published code takes the deviation of all φ together, in
            which the differences between examples are counted as noise.)
        shared: whether models trained with and without an example have the same variance, which
            then rests on twice as many models; online only.
        complements: whether models are halves and their complements, as
            `gujax.training.random_halves` gives them, so that no target's complement is its shadow.
            Shadows are then as many with each example as without, whether the target holds it or
            not: an attack on what leaks nothing finds nothing, whatever the signal's distribution.
            Without, a member has one shadow fewer on its own side, and where models differ as
            wholes that betrays it: the less, the more models there are.

    Returns:
        Scores, [M, N], higher meaning "member". NaN where an example has too few shadows: none on
        a side that is used, or only one for a variance of its own.

    Raises:
        ValueError: if shapes do not match, there are fewer than 3 models, φ is not finite, or
            ``shared`` is asked for offline, where there is one side only.
    """
    phi, members = check_members("phi", phi, members)
    if mode not in ("online", "offline"):
        raise ValueError(f"mode={mode!r} must be 'online' or 'offline'")
    if variance not in ("global", "per_example", "shrunk"):
        raise ValueError(f"variance={variance!r} must be 'global', 'per_example' or 'shrunk'")
    if shared and mode == "offline":
        raise ValueError("shared=True needs mode='online': offline there is one variance only")

    if complements:
        check_complements(members)
    outside = _Side.of(leave_one_out(phi, ~members, complements))
    if mode == "offline":
        scores = outside.fitted(variance).standardized(phi)
    else:
        inside = _Side.of(leave_one_out(phi, members, complements))
        if shared:
            outside, inside = outside.pooled_with(inside), inside.pooled_with(outside)
        scores = inside.fitted(variance).log_density(phi) - outside.fitted(variance).log_density(
            phi
        )
    return scores.reshape(*members.shape, -1).mean(axis=-1)


class _Fit(NamedTuple):
    """Where φ is expected, with what deviation, and what is known of it; inf for a Gaussian."""

    mean: np.ndarray
    deviation: np.ndarray
    widening: np.ndarray | float
    degrees: np.ndarray | float

    def standardized(self, phi: np.ndarray) -> np.ndarray:
        return (phi - self.mean) / (self.deviation * self.widening)

    def log_density(self, phi: np.ndarray) -> np.ndarray:
        """Up to what depends on nothing but the number of models."""
        if np.ndim(self.degrees) == 0:
            return norm.logpdf(phi, self.mean, self.deviation)
        surprise = np.log1p(self.standardized(phi) ** 2 / self.degrees)
        return -np.log(self.deviation) - 0.5 * (self.degrees + 1) * surprise


class _Side(NamedTuple):
    """Shadow models with, or without, each example: their mean, and squares around it.

    Attributes:
        num_models: how many, [M, N, ...].
        mean: mean of φ, [M, N, ...].
        squares: sum of squared deviations, 0 with fewer than two models; of both sides, if shared.
        degrees: degrees of freedom of ``squares``.
    """

    num_models: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    degrees: np.ndarray

    @classmethod
    def of(cls, statistics: ShadowStatistics) -> "_Side":
        trailing = (1,) * (statistics.mean.ndim - 2)
        count = statistics.num_models.reshape(*statistics.num_models.shape, *trailing)
        degrees = np.maximum(count - 1, 0).astype(float)
        return cls(count, statistics.mean, degrees * np.nan_to_num(statistics.variance), degrees)

    def pooled_with(self, other: "_Side") -> "_Side":
        return self._replace(
            squares=self.squares + other.squares, degrees=self.degrees + other.degrees
        )

    def fitted(self, variance: Variance) -> _Fit:
        with np.errstate(divide="ignore", invalid="ignore"):
            if variance == "shrunk":
                spread, degrees = shrink_variances(self.squares, self.degrees)
                widening = np.sqrt(1 + 1 / self.num_models)
                return _Fit(self.mean, _deviation(spread), widening, degrees)
            squares, degrees = self.squares, self.degrees
            if variance == "global":
                squares, degrees = (a.sum(axis=1, keepdims=True) for a in (squares, degrees))
            return _Fit(self.mean, _deviation(squares / degrees), 1.0, np.inf)


def _deviation(variance: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt(variance), _SMALLEST_DEVIATION)
