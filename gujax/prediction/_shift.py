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
    phi: Float[Array | np.ndarray, "pool"],
    members: Bool[Array | np.ndarray, "pool"],
    ridge: float,
) -> Float[np.ndarray, "pool"]:
    """Shift d_j of φ_j between training with j and without it.

    To first order in the parameters, d solves d = a σ(−(φ_out + d)), with a the influence of the
    example on itself (`Spectrum.self_influence`), σ(−φ) the pull of cross-entropy, and φ_out the
    signal without it. For a held-out example φ_out is observed and the root is found; for a member
    φ = φ_out + d is, and d = a σ(−φ).

    Args:
        gram: Gram matrix of the gradients of φ, [N, N]; or their `Spectrum`.
        phi: φ at the published parameters, [N].
        members: the examples that the model was trained on, [N].
        ridge: λ > 0, from `calibrated_ridge`.

    Returns:
        d, [N], ≥ 0, in nats of φ.

    Raises:
        ValueError: the ridge is not positive, or the arguments do not fit each other.
    """
    check_positive("ridge", ridge)
    spectrum = gram if isinstance(gram, Spectrum) else gram_spectrum(gram, phi, members)
    return shift_of(spectrum.self_influence(ridge), spectrum.signal, spectrum.members)


def shift_of(
    influence: Float[np.ndarray, "*ridges pool"],
    phi: Float[np.ndarray, "pool"],
    members: Bool[np.ndarray, "pool"],
) -> Float[np.ndarray, "*ridges pool"]:
    """The shift from the influence a."""
    shift = influence * expit(-phi)
    shift[..., ~members] = _root(influence[..., ~members], phi[~members])
    return shift


def _root(a: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """The only d with d = a σ(−(outside + d)): bisection, then Newton's method."""
    with np.errstate(divide="ignore"):
        # A d above 1 has exp(outside + d) below a.
        high = np.minimum(a * expit(-outside), np.maximum(1, np.log(a) - outside))
    low = a * expit(-(outside + high))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = middle > a * expit(-(outside + middle))
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    d = (low + high) / 2
    for _ in range(_NEWTON_STEPS):
        p = expit(-(outside + d))
        d = np.clip(d - (d - a * p) / (1 + a * p * (1 - p)), low, high)
    return d
