"""What training on an example adds to its own signal."""

import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.special import expit

from gujax.prediction._spectrum import Spectrum, gram_spectrum
from gujax.validation import check_positive

_HALVINGS = 12
_NEWTON_STEPS = 5  # together: to the last digits of float64


def membership_shift(
    gram: Float[Array | np.ndarray, "pool pool"] | Spectrum,
    phi: Float[Array | np.ndarray, " pool"],
    members: Bool[Array | np.ndarray, " pool"],
    ridge: float,
) -> Float[np.ndarray, " pool"]:
    """Shift d_j of φ_j between training with j and without it.

    To first order in the parameters, d solves d = a σ(−(φ_out + d)), with a the influence of the
    example on itself (`Spectrum.self_influence`), σ(−φ) the pull of cross-entropy, and φ_out the
    signal without it. For a held-out example φ_out is observed and the root is found; for a member
    φ = φ_out + d is, and d = a σ(−φ). With label smoothing the pull is that towards a soft label,
    q − σ(φ) with the spectrum's target q, and may be negative. Where a spectrum knows reruns, the
    pull is the mean over the runs: the shift is one over retrainings, and a single φ is off by the
    deviation.

    Args:
        gram: Gram matrix of the gradients of φ, [N, N]; or their `Spectrum`.
        phi: φ at the published parameters, [N].
        members: the examples that the model was trained on, [N].
        ridge: λ > 0, from `calibrated_ridge`.

    Returns:
        d, [N], in nats of φ; ≥ 0 without label smoothing.

    Raises:
        ValueError: the ridge is not positive, or the arguments do not fit each other.
    """
    check_positive("ridge", ridge)
    spectrum = gram if isinstance(gram, Spectrum) else gram_spectrum(gram, phi, members)
    return shift_of(spectrum.self_influence(ridge), *spectrum.runs, spectrum.target)


def shift_of(
    influence: Float[np.ndarray, "*ridges pool"],
    signals: Float[np.ndarray, "runs pool"],
    masks: Bool[np.ndarray, "runs pool"],
    target: float = 1.0,
) -> Float[np.ndarray, "*ridges pool"]:
    """The shift from the influence a: the only d with d = a · (target − mean of σ(φ with it)).

    Args:
        influence: a, [..., N].
        signals: φ in each run, [R, N].
        masks: which examples each run was trained on, [R, N]; of the others φ with it is φ + d.
        target: probability of its class that an example is pulled to.
    """
    constant = influence * (np.mean(expit(-signals) * masks, axis=0) - (1 - target))
    open_ended = ~masks.all(axis=0)
    shift = constant.copy()
    shift[..., open_ended] += _root(
        influence[..., open_ended] / len(signals),
        constant[..., open_ended],
        np.where(masks, np.inf, signals)[:, open_ended],
    )
    return shift


def _root(
    a: Float[np.ndarray, "*ridges some"],
    constant: Float[np.ndarray, "*ridges some"],
    outside: Float[np.ndarray, "runs some"],
) -> Float[np.ndarray, "*ridges some"]:
    """The only d with d = a Σ σ(−(outside + constant + d)): bisection, then Newton's method."""

    def pull(d: np.ndarray) -> np.ndarray:
        return sum(expit(-(row + constant + d)) for row in outside)

    with np.errstate(divide="ignore"):
        # A d above 1 has exp(outside + constant + d) below a, for the smallest outside.
        least, most = outside.min(axis=0), np.log(a * len(outside))
        high = np.minimum(a * pull(np.zeros_like(a)), np.maximum(1, most - least - constant))
    low = a * pull(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = middle > a * pull(middle)
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    d = (low + high) / 2
    for _ in range(_NEWTON_STEPS):
        total, slope = np.zeros_like(d), np.zeros_like(d)
        for row in outside:
            p = expit(-(row + constant + d))
            total, slope = total + p, slope + p * (1 - p)
        d = np.clip(d - (d - a * total) / (1 + a * slope), low, high)
    return d
