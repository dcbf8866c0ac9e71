"""How much the signal of one example varies between trainings that treat it alike."""

import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.special import expit

from gujax.prediction._spectrum import Spectrum


def rerun_deviation(
    phi: Float[Array | np.ndarray, "pool"],
    rerun_phi: Float[Array | np.ndarray, "pool"],
    members: Bool[Array | np.ndarray, "pool"],
    rerun_members: Bool[Array | np.ndarray, "pool"],
) -> float:
    """Deviation s of φ over retrainings, from one more training with other members and seed.

    s² is the mean of (φ¹ − φ²)² / 2 over the examples that are members of both or of neither.

    Args:
        phi: φ of the published model, [N].
        rerun_phi: φ of the rerun, [N].
        members: the examples that the published model was trained on, [N].
        rerun_members: those of the rerun, [N].

    Returns:
        s > 0, in nats of φ.

    Raises:
        ValueError: shapes do not match, fewer than 20 examples were treated alike, or both
            models give the same φ.
    """
    return float(np.sqrt(np.mean(squared_changes(phi, rerun_phi, members, rerun_members)[1])))


def squared_changes(
    phi: Float[Array | np.ndarray, "pool"],
    rerun_phi: Float[Array | np.ndarray, "pool"],
    members: Bool[Array | np.ndarray, "pool"],
    rerun_members: Bool[Array | np.ndarray, "pool"],
) -> tuple[Bool[np.ndarray, "pool"], Float[np.ndarray, "alike"]]:
    """Which examples both runs treated alike, and their (φ¹ − φ²)² / 2."""
    arrays = [np.asarray(x) for x in (phi, rerun_phi, members, rerun_members)]
    if len({x.shape for x in arrays}) > 1:
        raise ValueError(
            "phi, rerun_phi, members and rerun_members must have one entry per example, got shapes "
            + ", ".join(str(x.shape) for x in arrays)
        )
    first, second, members, rerun_members = arrays
    alike = members.astype(bool) == rerun_members.astype(bool)
    if alike.sum() < 20:
        raise ValueError(
            f"rerun_members agrees with members on {alike.sum()} examples; at least 20 must be in "
            "both or in neither, so train the rerun on another random half"
        )
    changes = np.square(first[alike].astype(float) - second[alike]) / 2
    if not changes.any():
        raise ValueError("the rerun gives the same φ as the published model: it is the same model")
    return alike, changes


def influence_deviation(spectrum: Spectrum, ridge: float) -> float:
    """Deviation s of φ that comes from redrawing the other examples, without a rerun.

    Every member is present with probability ½ in a pool of twice the members, and moves φ_j by
    J_jᵀ C J_k σ(−φ_k): s_j² = ½ Σ_{k ∈ members, k ≠ j} (J_jᵀ C J_k σ(−φ_k))². It leaves out what
    initialization and the order of batches change: an under-estimate, by a factor of 2 to 8
    on neural networks, so that the attack predicted from it is too strong.

    Args:
        spectrum: of the gradients of φ.
        ridge: λ > 0.

    Returns:
        s, root mean square over examples, in nats of φ.
    """
    inside = spectrum.members
    shrunk = spectrum.coordinates / (spectrum.eigenvalues + ridge)
    pulled = spectrum.coordinates[inside] * expit(-spectrum.signal[inside])[:, None]
    moved = np.einsum("jr,rs,js->j", shrunk, pulled.T @ pulled, shrunk, optimize=True)
    own = np.einsum("jr,jr->j", shrunk[inside], pulled)
    moved[inside] = np.maximum(moved[inside] - np.square(own), 0)
    return float(np.sqrt(np.mean(moved) / 2))
