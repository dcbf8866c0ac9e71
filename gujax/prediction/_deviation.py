"""How much the signal of one example varies between trainings that treat it alike."""

from itertools import combinations

import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.special import expit
from scipy.stats import kurtosis

from gujax.prediction._spectrum import Spectrum

_SAME = "a rerun and the published model", "two reruns"


def rerun_deviation(
    phi: Float[Array | np.ndarray, " pool"],
    rerun_phi: Float[Array | np.ndarray, "*reruns pool"],
    members: Bool[Array | np.ndarray, " pool"],
    rerun_members: Bool[Array | np.ndarray, "*reruns pool"],
) -> float:
    """Deviation s of φ over retrainings, from more trainings with other members and seeds.

    s² is the mean of (φ¹ − φ²)² / 2 over pairs of runs and the examples that are members of both
    or of neither.

    Args:
        phi: φ of the published model, [N].
        rerun_phi: φ of the rerun, [N], or of several, [R, N].
        members: the examples that the published model was trained on, [N].
        rerun_members: those of the reruns, likewise.

    Returns:
        s > 0, in nats of φ.

    Raises:
        ValueError: shapes do not match, fewer than 20 examples were treated alike, or two
            models give the same φ.
    """
    counts, sums = squared_changes(phi, rerun_phi, members, rerun_members)
    return float(np.sqrt(sums.sum() / counts.sum()))


def squared_changes(
    phi: Float[Array | np.ndarray, " pool"],
    rerun_phi: Float[Array | np.ndarray, "*reruns pool"],
    members: Bool[Array | np.ndarray, " pool"],
    rerun_members: Bool[Array | np.ndarray, "*reruns pool"],
) -> tuple[Int[np.ndarray, " pool"], Float[np.ndarray, " pool"]]:
    """How many pairs of runs treated an example alike, and the sum of their (φ¹ − φ²)² / 2."""
    phis, masks = _runs(phi, rerun_phi, members, rerun_members)
    counts, sums = np.zeros(phis.shape[1], int), np.zeros(phis.shape[1])
    for i, j in combinations(range(len(phis)), 2):
        alike = masks[i] == masks[j]
        if not i and alike.sum() < 20:
            raise ValueError(
                f"rerun_members agrees with members on {alike.sum()} examples; at least 20 must be "
                "in both or in neither, so train the rerun on another random half"
            )
        changes = np.square(phis[i] - phis[j]) / 2
        if not changes[alike].any():
            raise ValueError(f"{_SAME[i > 0]} give the same φ: they are the same model")
        counts += alike
        sums += np.where(alike, changes, 0)
    return counts, sums


def _runs(
    phi: Float[Array | np.ndarray, " pool"],
    rerun_phi: Float[Array | np.ndarray, "*reruns pool"],
    members: Bool[Array | np.ndarray, " pool"],
    rerun_members: Bool[Array | np.ndarray, "*reruns pool"],
) -> tuple[Float[np.ndarray, "runs pool"], Bool[np.ndarray, "runs pool"]]:
    """φ and members of the published model and its reruns, checked."""
    phi, members, rerun_phi, rerun_members = (
        np.asarray(x) for x in (phi, members, rerun_phi, rerun_members)
    )
    if phi.ndim != 1 or phi.shape != members.shape or rerun_phi.shape != rerun_members.shape:
        agree = False
    else:
        agree = rerun_phi.ndim in (1, 2) and rerun_phi.shape[-1:] == phi.shape
    if not agree:
        raise ValueError(
            "phi and members must have one entry per example, rerun_phi and rerun_members too, for "
            f"each rerun; got shapes {phi.shape}, {members.shape}, {rerun_phi.shape} and "
            f"{rerun_members.shape}"
        )
    phis = np.concatenate([phi[None], np.atleast_2d(rerun_phi)]).astype(float)
    return phis, np.concatenate([members[None], np.atleast_2d(rerun_members)]).astype(bool)


def excess_kurtosis(
    phi: Float[Array | np.ndarray, " pool"],
    rerun_phi: Float[Array | np.ndarray, "*reruns pool"],
    members: Bool[Array | np.ndarray, " pool"],
    rerun_members: Bool[Array | np.ndarray, "*reruns pool"],
) -> float:
    """How far one deviation for all examples is from the truth: 0 where it fits.

    Changes of φ between two trainings that treat an example alike are normal, to first order. Over
    examples whose deviations differ they are a mixture of normals, whose excess kurtosis is three
    times the variance of s_j² over its squared mean.

    Args:
        phi: φ of the published model, [N].
        rerun_phi: φ of the rerun, [N], or of several, [R, N].
        members: the examples that the published model was trained on, [N].
        rerun_members: those of the reruns, likewise.

    Returns:
        Excess kurtosis of φ¹ − φ² over examples that are members of both or of neither, mean over
        pairs of runs.

    Raises:
        ValueError: shapes do not match.
    """
    phis, masks = _runs(phi, rerun_phi, members, rerun_members)
    found = [
        kurtosis((phis[i] - phis[j])[masks[i] == masks[j]])
        for i, j in combinations(range(len(phis)), 2)
    ]
    return float(np.mean(found))


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
    pull = expit(-spectrum.signal[inside]) - (1 - spectrum.target)
    pulled = spectrum.coordinates[inside] * pull[:, None]
    moved = np.einsum("jr,rs,js->j", shrunk, pulled.T @ pulled, shrunk, optimize=True)
    own = np.einsum("jr,jr->j", shrunk[inside], pulled)
    moved[inside] = np.maximum(moved[inside] - np.square(own), 0)
    return float(np.sqrt(np.mean(moved) / 2))
