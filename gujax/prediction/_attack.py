"""What the best attack achieves, given every example's shift and the deviation of the signal."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

_GROUPS = 256  # of examples with nearly the same μ, for pooled numbers
_DECADES = 6  # below the largest μ; smaller ones count as one
_SMALLEST_MU = 1e-9
_STEPS = 200  # at most, for a threshold


@dataclass(frozen=True, eq=False)
class PredictedAttack:
    """The likelihood-ratio attack on φ_j ~ N(φ_out, s²) without j and N(φ_out + d_j, s²) with j.

    Its scores are N(±μ_j²/2, μ_j²); half of the cases are members. Pooled numbers compare the
    scores of all examples with one threshold, as an attacker does.

    Attributes:
        mu: d_j / s, [N].
        weights: how often each example counts, [N].
    """

    mu: Float[np.ndarray, " examples"]
    weights: Float[np.ndarray, " examples"]

    @cached_property
    def example_auc(self) -> Float[np.ndarray, " examples"]:
        """AUC against each example alone, over retrainings, Φ(μ/√2), [N]."""
        return ndtr(self.mu / np.sqrt(2))

    def example_tpr(self, fpr: float) -> Float[np.ndarray, " examples"]:
        """TPR against each example alone, over retrainings, Φ(Φ⁻¹(fpr) + μ), [N]."""
        return ndtr(ndtri(_rate(fpr)) + self.mu)

    @cached_property
    def auc(self) -> float:
        """Pooled AUC: the mean over pairs of Φ(√(μ_i² + μ_j²) / 2)."""
        mu, share = self._groups
        pairs = ndtr(np.hypot(mu[:, None], mu) / 2)
        return float(share @ pairs @ share)

    def tpr(self, fpr: ArrayLike) -> Float[np.ndarray, "*rates"]:
        """Pooled TPR at false positive rates.

        Args:
            fpr: in [0, 1], any shape.

        Raises:
            ValueError: a rate is outside [0, 1].
        """
        rates = _rate(fpr).reshape(-1)
        widest = float(self._groups[0].max())
        high = widest * (widest + 40)
        found = [self._rate(self._threshold(rate, high), 1) for rate in rates]
        return np.reshape(found, np.shape(fpr))

    def roc(self, points: int = 201) -> tuple[np.ndarray, np.ndarray]:
        """The pooled ROC curve.

        Args:
            points: number of points, half of them at equal, half at geometric distances.

        Returns:
            False and true positive rates, ascending.
        """
        geometric = np.geomspace(1e-4, 1, points // 2)
        fpr = np.union1d(np.linspace(0, 1, points - points // 2), geometric)
        return fpr, self.tpr(fpr)

    @cached_property
    def _groups(self) -> tuple[np.ndarray, np.ndarray]:
        """μ and shares of groups of examples, within 6 % of each other: 1e-4 of error at most."""
        mu, share = np.maximum(self.mu, _SMALLEST_MU), self.weights / self.weights.sum()
        if len(mu) <= _GROUPS:
            return mu, share
        below = np.log10(mu.max() / mu) * _GROUPS / _DECADES
        group = np.minimum(below, _GROUPS - 1).astype(int)
        total = np.bincount(group, share, _GROUPS)
        filled = total > 0
        squares = np.bincount(group, share * np.square(mu), _GROUPS)[filled] / total[filled]
        return np.sqrt(squares), total[filled]

    def _threshold(self, fpr: float, high: float) -> float:
        """The score, between ± high, that a share of non-members exceeds."""
        if fpr >= self._rate(-high, -1):  # shares sum to 1 but for rounding
            return -high
        return brentq(
            lambda threshold: self._rate(threshold, -1) - fpr,
            -high,
            high,
            xtol=np.finfo(float).tiny,
            maxiter=_STEPS,
            disp=False,
        )

    def _rate(self, threshold: float, sign: int) -> float:
        """The share of members (1) or non-members (-1) whose score exceeds a threshold."""
        mu, share = self._groups
        return float(ndtr(sign * mu / 2 - threshold / mu) @ share)


def predict_attack(
    shift: Float[np.ndarray, " examples"],
    deviation: ArrayLike,
    *,
    weights: Float[np.ndarray, " examples"] | None = None,
) -> PredictedAttack:
    """Predict the likelihood-ratio attack with arbitrarily many shadow models.

    Args:
        shift: d, [N], from `membership_shift`; its sign does not matter.
        deviation: s > 0, from a rerun; a number, or one per example, [N].
        weights: how often each example counts, as in a bootstrap, [N]; once if None.

    Returns:
        μ and AUC per example, pooled AUC, TPR at any FPR, ROC.

    Raises:
        ValueError: shapes do not match, a shift is not finite, or a deviation is not positive.
    """
    shift, deviation = np.asarray(shift, np.float64), np.asarray(deviation, np.float64)
    if shift.ndim != 1 or not len(shift) or deviation.shape not in ((), shift.shape):
        raise ValueError(
            f"shift has shape {shift.shape} and deviation {deviation.shape}; shift must be [N], "
            "deviation a number or [N]"
        )
    if not np.isfinite(shift).all():
        raise ValueError(f"shift has {np.sum(~np.isfinite(shift))} entries that are not finite")
    if not (np.isfinite(deviation) & (deviation > 0)).all():
        raise ValueError("deviation must be positive and finite everywhere")
    counts = np.ones(len(shift)) if weights is None else np.asarray(weights, np.float64)
    if counts.shape != shift.shape or (counts < 0).any() or not counts.any():
        raise ValueError(f"weights must be ≥ 0, not all 0, and of shape {shift.shape}")
    return PredictedAttack(np.abs(shift) / deviation, counts)


def _rate(fpr: ArrayLike) -> np.ndarray:
    rate = np.asarray(fpr, np.float64)
    if not ((rate >= 0) & (rate <= 1)).all():
        raise ValueError(f"fpr={fpr} must lie between 0 and 1")
    return rate
