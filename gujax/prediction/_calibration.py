"""The ridge that makes the predicted generalization gap the observed one."""

import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.optimize import brentq

from gujax.prediction._gap import Gap, generalization_gap
from gujax.prediction._shift import shift_of
from gujax.prediction._spectrum import Spectrum, gram_spectrum

_SPAN = 60.0  # of log λ, to both sides of the largest eigenvalue
_POINTS = 33  # that bracket the root
_TOLERANCE = 1e-12  # of log λ
_ERRORS = 2.326  # standard errors by which a gap may exceed what can be explained
_ALMOST = 0.999  # of what can be explained


class UncalibratedError(ValueError):
    """The gap allows no calibration.

    Attributes:
        gap: the observed gap.
    """

    def __init__(self, message: str, gap: Gap):
        super().__init__(message)
        self.gap = gap


def calibrated_ridge(
    gram: Float[Array | np.ndarray, "pool pool"] | Spectrum,
    phi: Float[Array | np.ndarray, " pool"],
    members: Bool[Array | np.ndarray, " pool"],
    *,
    gap: Gap | None = None,
) -> float:
    """The ridge λ at which the members' mean predicted shift equals the observed gap of φ.

    Early stopping, weight decay, noise and whatever else keeps training from fitting all of the
    data acts, to first order, like a ridge; its size is measured and not assumed. The mean shift
    falls monotonically in λ, so that the root is unique.

    Args:
        gram: Gram matrix of the gradients of φ, [N, N]; or their `Spectrum`.
        phi: φ at the published parameters, [N].
        members: the examples that the model was trained on, [N].
        gap: the observed gap where it is known better, as from a rerun (`paired_gap`).

    Returns:
        λ > 0, in the units of ``gram``.

    Raises:
        UncalibratedError: the gap is negative, not significant (one-sided, 1 %), or larger than
            any ridge explains; one that is larger by less than its error has the smallest ridge.
        ValueError: the arguments do not fit each other, see `gram_spectrum`.
    """
    spectrum = gram if isinstance(gram, Spectrum) else gram_spectrum(gram, phi, members)
    gap = gap or generalization_gap(spectrum.signal, spectrum.members)
    mean, error = gap.mean, gap.standard_error
    limit = f"upper limit: a mean shift of {max(gap.high, 0):.3g} nats (95 %)"
    if not mean > 0:
        raise UncalibratedError(
            f"no gap: nothing to calibrate (φ of members minus held-out: {mean:.3g} ± {error:.2g} "
            f"nats); {limit}",
            gap,
        )
    if not gap.significant:
        raise UncalibratedError(
            f"no significant gap: nothing to calibrate ({mean:.3g} ± {error:.2g} nats); {limit}; "
            "more held-out examples, or a rerun where there is none, would tell",
            gap,
        )
    return ridge_for_gap(spectrum, gap, mean)


def ridge_for_gap(spectrum: Spectrum, gap: Gap, size: float) -> float:
    """The ridge that explains a gap of some positive size, significant or not.

    Raises:
        UncalibratedError: no ridge explains it.
    """

    needed = gap.needed
    signals, masks = (part[:, needed] for part in spectrum.runs)

    def predicted(log_ridges: np.ndarray) -> np.ndarray:
        shifts = np.zeros((len(log_ridges), len(needed)))
        influences = spectrum.self_influences(np.exp(log_ridges), needed)
        shifts[:, needed] = shift_of(influences, signals, masks, spectrum.target)
        return gap.predicted(shifts)

    top = np.log(spectrum.eigenvalues[-1])
    log_ridges = np.linspace(top - _SPAN, top + _SPAN, _POINTS)
    coarse = predicted(log_ridges)
    most = coarse[0]
    if not size - _ERRORS * gap.standard_error < most:
        raise UncalibratedError(
            f"the gap of {size:.3g} nats is more than training explains at any ridge (at most "
            f"{most:.3g}): members and held-out examples differ in more than training",
            gap,
        )
    size = min(size, _ALMOST * most)
    last = max(int(np.sum(coarse > size)) - 1, 0)
    root = brentq(
        lambda log_ridge: predicted(np.array([log_ridge]))[0] / size - 1,
        *log_ridges[last : last + 2],
        xtol=_TOLERANCE,
    )
    return float(np.exp(root))
