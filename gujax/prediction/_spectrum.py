"""Influence of every example on its own signal, for any ridge, from one eigendecomposition."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.special import expit

_SMALLEST_WEIGHT = 1e-12  # of the largest
_ROUNDING = 100  # units in the last place that a difference of squared lengths may be off
_ROWS = 1024  # examples at a time


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The members' curvature S = Σ_{k ∈ members} w_k J_k J_kᵀ by its eigenvectors, and the pool.

    J_j is the gradient of φ_j, w_j = σ(φ_j) σ(−φ_j) the curvature of cross-entropy in φ.

    Attributes:
        eigenvalues: positive eigenvalues of S, ascending, [r].
        coordinates: of every J_j along the eigenvectors, [N, r].
        residual: squared length of what leaves their span, [N]; 0 for members.
        signal: φ, [N].
        members: which examples the model was trained on, [N].
        weights: w, [N]; those below 1e-12 of the largest count as that: such an example is fitted
            so well that it pulls at nothing.
        size: dimension of the space in which this was computed where that is a sketch; None where
            it is exact.
        reruns: φ of further trainings and which examples each was trained on, [R, N]; None where
            there are none.
        target: probability of its own class that training pulls an example to: 1, or less under
            label smoothing, which pulls examples that are surer than that back.
    """

    eigenvalues: Float[np.ndarray, " rank"]
    coordinates: Float[np.ndarray, "pool rank"]
    residual: Float[np.ndarray, " pool"]
    signal: Float[np.ndarray, " pool"]
    members: Bool[np.ndarray, " pool"]
    weights: Float[np.ndarray, " pool"]
    size: int | None = None
    reruns: tuple[Float[np.ndarray, "reruns pool"], Bool[np.ndarray, "reruns pool"]] | None = None
    target: float = 1.0

    @property
    def runs(self) -> tuple[Float[np.ndarray, "runs pool"], Bool[np.ndarray, "runs pool"]]:
        """φ of all runs and which examples each was trained on, the published one first."""
        own = self.signal[None], self.members[None]
        if self.reruns is None:
            return own
        return np.concatenate([own[0], self.reruns[0]]), np.concatenate([own[1], self.reruns[1]])

    def self_influence(self, ridge: float) -> Float[np.ndarray, " pool"]:
        """a_j = J_jᵀ (λI + S without j)⁻¹ J_j: how far φ_j moves per unit of pull by j itself.

        w_j a_j is the GNQ of the curvature-weighted gradient √w_j J_j among those of the other
        members, h / (1 − h); for held-out examples, among those of all members.

        Args:
            ridge: λ > 0.

        Returns:
            a, [N], decreasing in λ.
        """
        return self.self_influences(np.asarray([ridge]))[0]

    def self_influences(
        self,
        ridges: Float[np.ndarray, " ridges"],
        examples: Bool[np.ndarray, " pool"] | None = None,
    ) -> Float[np.ndarray, "ridges examples"]:
        """`self_influence` for several ridges at once.

        Args:
            ridges: λ > 0.
            examples: whose, [N]; everybody's if None.
        """
        rows = np.arange(len(self.signal)) if examples is None else np.flatnonzero(examples)
        shrunk = 1 / (self.eigenvalues[:, None] + ridges)  # [r, ridges]
        # The entries of the members' eigenvectors in batch space are w times squared coordinates
        # over eigenvalues.
        inverse = 1 / self.eigenvalues[:, None]
        factors = np.concatenate([shrunk, shrunk * inverse, inverse], axis=1)
        products = np.empty((len(rows), factors.shape[1]))
        for start in range(0, len(rows), _ROWS):
            block = slice(start, start + _ROWS)
            products[block] = np.square(self.coordinates[rows[block]], dtype=float) @ factors
        together, shrunk_entries = np.split(products[:, :-1].T, 2)
        # 1 − h is a sum of positive terms; what the entries lack of a sum of 1 is what a sketch,
        # or a null space, does not see.
        outside = np.maximum(1 - self.weights[rows] * products[:, -1], 0)
        leverage_left = ridges[:, None] * shrunk_entries * self.weights[rows] + outside
        together = together + self.residual[rows] / ridges[:, None]
        alone = together / np.maximum(leverage_left, np.finfo(float).tiny)
        return np.where(self.members[rows], alone, together)

    def represented_ridge(self, ridge: float) -> float:
        """The ridge λ of the exact gradients for which this one stands; itself where exact."""
        if self.size is None:
            return ridge
        return ridge / (1 - self.effective_dimension(ridge) / self.size)

    def effective_dimension(self, ridge: float) -> float:
        """tr S (S + λI)⁻¹: how many directions the members determine."""
        return float(np.sum(self.eigenvalues / (self.eigenvalues + ridge)))


def gram_spectrum(
    gram: Float[Array | np.ndarray, "pool pool"],
    phi: Float[Array | np.ndarray, " pool"],
    members: Bool[Array | np.ndarray, " pool"],
) -> Spectrum:
    """The spectrum from the Gram matrix of the gradients of φ; float64, on the host.

    Time is that of one eigendecomposition of the members' part, O(M³), and of products.

    Args:
        gram: T = J Jᵀ over the pool, [N, N], from `gujax.gram` of gradients of `signal`.
        phi: φ at the published parameters, [N].
        members: the examples that the model was trained on, [N].

    Raises:
        ValueError: shapes do not match, an entry is not finite, or members or held-out examples
            are missing.
    """
    gram = np.asarray(gram)
    phi, members = _checked("gram", gram, phi, members)
    if gram.shape != (len(phi), len(phi)):
        raise ValueError(f"gram has shape {gram.shape} and phi {phi.shape}; it must be [N, N]")
    weights = _weights(phi, members)
    root = np.sqrt(weights[members])
    block = gram[np.ix_(members, members)].astype(np.float64)
    values, vectors = np.linalg.eigh(root[:, None] * (block + block.T) / 2 * root)
    resolved = _resolved(values)
    kept, vectors = values[resolved], vectors[:, resolved]
    coordinates = np.empty((len(phi), len(kept)))
    coordinates[members] = vectors * np.sqrt(kept) / root[:, None]
    outside = gram[np.ix_(~members, members)].astype(np.float64)
    coordinates[~members] = (outside * root) @ vectors / np.sqrt(kept)
    residual = _outside(np.diagonal(gram), coordinates, members, gram.dtype)
    return Spectrum(kept, coordinates, residual, phi, members, weights)


def sketch_spectrum(
    sketches: Float[Array | np.ndarray, "pool size"],
    phi: Float[Array | np.ndarray, " pool"],
    members: Bool[Array | np.ndarray, " pool"],
) -> Spectrum:
    """The spectrum from sketches of the gradients of φ; O(N k² + k³) time, N k numbers.

    A projection to k numbers acts as a ridge of its own (see `gujax.sketched_uniqueness`): the
    ridge r in the space of sketches stands for λ = r / (1 − d/k), with d the effective dimension.
    A calibrated r takes this in: only its number is not that of the exact λ.

    Args:
        sketches: Z, [N, k], from `gujax.sketch` of gradients of `signal`, all with one key.
        phi: φ at the published parameters, [N].
        members: the examples that the model was trained on, [N].

    Raises:
        ValueError: as for `gram_spectrum`.
    """
    sketches = np.asarray(sketches)
    phi, members = _checked("sketches", sketches, phi, members)
    weights = _weights(phi, members)
    root = np.sqrt(np.where(members, weights, 0))
    blocks = [slice(start, start + _ROWS) for start in range(0, len(phi), _ROWS)]
    moment, norms = np.zeros((sketches.shape[1],) * 2), np.empty(len(phi))
    for block in blocks:  # float64 of a part at a time
        rows = sketches[block].astype(np.float64)
        norms[block] = np.einsum("ij,ij->i", rows, rows)
        rows *= root[block, None]
        moment += rows.T @ rows
    values, vectors = np.linalg.eigh(moment)
    resolved = _resolved(values)
    values, vectors = values[resolved], vectors[:, resolved]
    # As exact as the sketches: their rounding is as large as that of these products.
    narrow = vectors.astype(sketches.dtype)
    coordinates = np.empty((len(phi), len(values)), sketches.dtype)
    for block in blocks:
        coordinates[block] = sketches[block] @ narrow
    residual = _outside(norms, coordinates, members, sketches.dtype)
    return Spectrum(values, coordinates, residual, phi, members, weights, sketches.shape[1])


def _outside(
    norms: np.ndarray, coordinates: np.ndarray, members: np.ndarray, dtype: np.dtype
) -> Float[np.ndarray, " pool"]:
    """What rounding tells from zero of the squared lengths outside of the members' span."""
    rest = norms - np.einsum("ij,ij->i", coordinates, coordinates, dtype=float)
    unresolved = _ROUNDING * np.finfo(dtype).eps * norms
    return np.where(members | (rest < unresolved), 0, rest)


def _resolved(eigenvalues: np.ndarray) -> Bool[np.ndarray, "all"]:
    """Those that rounding tells from zero: the most negative one shows how far it reaches."""
    reach = max(-eigenvalues[0], len(eigenvalues) * np.finfo(float).eps * eigenvalues[-1])
    resolved = eigenvalues > reach
    if not resolved.any():
        raise ValueError("all gradients of φ are zero: nothing can be predicted from them")
    return resolved


def _weights(phi: np.ndarray, members: np.ndarray) -> Float[np.ndarray, " pool"]:
    curvature = expit(phi) * expit(-phi)
    return np.maximum(curvature, _SMALLEST_WEIGHT * max(curvature[members].max(), 1e-100))


def _checked(name: str, pairs: np.ndarray, phi, members) -> tuple[np.ndarray, np.ndarray]:
    phi, members = np.asarray(phi, np.float64), np.asarray(members)
    if phi.ndim != 1 or members.shape != phi.shape or pairs.ndim != 2 or len(pairs) != len(phi):
        raise ValueError(
            f"{name} has shape {pairs.shape}, phi {phi.shape} and members {members.shape}; all "
            "must start with the same N examples"
        )
    if members.dtype != bool:
        raise ValueError(f"members is of type {members.dtype}; it must be boolean, one per example")
    for what, value in ((name, pairs), ("phi", phi)):
        if not np.isfinite(value).all():
            raise ValueError(
                f"{what} has {np.sum(~np.isfinite(value))} entries that are not finite; leave "
                "those examples out or repair the model"
            )
    if members.all() or not members.any():
        raise ValueError("members names all examples or none; held-out examples are needed too")
    return phi, members
