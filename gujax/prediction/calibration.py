"""The ridge that makes the predicted generalization gap the observed one."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.special import expit

from gujax.prediction.spectrum import Spectrum, gram_spectrum

_SPAN = 60.0  # of log λ, to both sides of the largest eigenvalue
_POINTS = 33  # ridges at a time: one pass over the pool costs little more than one ridge
_TOLERANCE = 1e-12  # of log λ
_SIGNIFICANT = 2.326  # standard errors: one-sided 1 %
_Z95 = 1.96


class Gap(NamedTuple):
    """How much larger φ is on members than on held-out examples, in nats.

    Attributes:
        mean: mean φ over members minus mean φ over held-out examples.
        standard_error: of `mean`, over draws of examples.
    """

    mean: float
    standard_error: float

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.mean + _Z95 * self.standard_error

    @property
    def significant(self) -> bool:
        """Whether the gap is above zero (one-sided, 1 %)."""
        return self.mean > _SIGNIFICANT * self.standard_error


class UncalibratedError(ValueError):
    """The gap allows no calibration.

    Attributes:
        gap: the observed gap.
    """

    def __init__(self, message: str, gap: Gap):
        super().__init__(message)
        self.gap = gap


def generalization_gap(phi: Float[np.ndarray, "pool"], members: Bool[np.ndarray, "pool"]) -> Gap:
    """Gap of φ between members and held-out examples, with its (Welch) standard error.

    Args:
        phi: φ, [N].
        members: the examples that the model was trained on, [N]; at least 2 on each side.
    """
    phi = np.asarray(phi, np.float64)
    inside, outside = phi[members], phi[~np.asarray(members)]
    error = np.sqrt(inside.var(ddof=1) / len(inside) + outside.var(ddof=1) / len(outside))
    return Gap(float(inside.mean() - outside.mean()), float(error))


def calibrated_ridge(
    gram: Float[Array | np.ndarray, "pool pool"] | Spectrum,
    phi: Float[Array | np.ndarray, "pool"],
    members: Bool[Array | np.ndarray, "pool"],
) -> float:
    """The ridge λ at which the members' mean predicted shift equals the observed gap of φ.

    Early stopping, weight decay, noise and whatever else keeps training from fitting all of the
    data acts, to first order, like a ridge; its size is measured and not assumed. The members' mean
    shift falls monotonically in λ, so that the root is unique.

    Args:
        gram: Gram matrix of the gradients of φ, [N, N]; or their `Spectrum`.
        phi: φ at the published parameters, [N].
        members: the examples that the model was trained on, [N].

    Returns:
        λ > 0, in the units of ``gram`` (times those of a curvature, which has none).

    Raises:
        UncalibratedError: the gap is negative, not significant (one-sided, 1 %), or larger than
            any ridge explains.
        ValueError: the arguments do not fit each other, see `gram_spectrum`.
    """
    spectrum = gram if isinstance(gram, Spectrum) else gram_spectrum(gram, phi, members)
    gap = generalization_gap(spectrum.signal, spectrum.members)
    limit = f"upper limit: a mean shift of {max(gap.high, 0):.3g} nats (95 %)"
    if not gap.mean > 0:
        raise UncalibratedError(
            f"no gap: nothing to calibrate (φ of members minus held-out: {gap.mean:.3g} ± "
            f"{gap.standard_error:.2g} nats); {limit}",
            gap,
        )
    if not gap.significant:
        raise UncalibratedError(
            f"no significant gap: nothing to calibrate ({gap.mean:.3g} ± {gap.standard_error:.2g} "
            f"nats); {limit}; more held-out examples would tell",
            gap,
        )
    return ridge_for_gap(spectrum, gap)


def ridge_for_gap(spectrum: Spectrum, gap: Gap) -> float:
    """The ridge that explains a positive gap, without asking whether it is significant.

    Raises:
        UncalibratedError: no ridge explains it.
    """
    inside = spectrum.members
    pull = expit(-spectrum.signal[inside])

    def mean_shifts(log_ridges: np.ndarray) -> np.ndarray:
        return spectrum.self_influences(np.exp(log_ridges))[:, inside] @ pull / len(pull)

    top = np.log(spectrum.eigenvalues[-1])
    low, high = top - _SPAN, top + _SPAN
    most, least = mean_shifts(np.array([low, high]))
    if not least < gap.mean < most:
        raise UncalibratedError(
            f"the gap of {gap.mean:.3g} nats is more than members explain at any ridge (at most "
            f"{most:.3g}): members and held-out examples differ by more than training",
            gap,
        )
    while high - low > _TOLERANCE:
        log_ridges = np.linspace(low, high, _POINTS)
        above = int(np.sum(mean_shifts(log_ridges)[1:-1] > gap.mean))
        low, high = log_ridges[above], log_ridges[above + 1]
    return float(np.exp((low + high) / 2))
