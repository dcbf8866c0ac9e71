"""How far apart gradients with and without a private property lie, as subspaces.

Mo et al. 2021, "Quantifying information leakage from gradients", arXiv 2105.13929 (latent
information): distance between the spans of the first k right singular vectors of two gradient
matrices. Distances from principal angles θ: Edelman, Arias & Smith 1998, "The geometry of
algorithms with orthogonality constraints", section 4.3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import chex
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.linalg import subspace_angles

from gujax.leakage._layers import as_matrix
from gujax.statistics import Interval, percentile_interval
from gujax.validation import check_count


class SubspaceDistance(NamedTuple):
    """Distance between the top-k singular subspaces of two sets of gradients.

    Attributes:
        k: dimension of the subspaces.
        angles: principal angles, ascending, [k], in radians.
        projection: projection-F distance ‖sin θ‖₂ = ‖P − Q‖_F / √2, from 0 to √k.
        grassmann: geodesic distance ‖θ‖₂, from 0 to √k π/2.
        control: the projection-F distance of sets with the property shuffled: mean, and 2.5 % and
            97.5 % quantile. Two finite samples of the same gradients are not at distance zero;
            only a distance above this interval says that the property shows.
    """

    k: int
    angles: Float[np.ndarray, " k"]
    projection: float
    grassmann: float
    control: Interval


def subspace_distance(
    representation: chex.ArrayTree,
    has_property: Bool[np.ndarray | Array, " examples"],
    ks: Sequence[int] = (1, 2, 4, 8),
    *,
    num_shuffles: int = 100,
    seed: int = 0,
) -> tuple[SubspaceDistance, ...]:
    """Distance between the singular subspaces of gradients with and without a property.

    Gradients are not centered: their mean is part of what they give away.

    Args:
        representation: gradients of one layer (or any pytree of arrays with a leading axis of
            examples), as ``gujax.materialize`` gives them; of a layer too large for that,
            `gujax.sketch` keeps angles approximately.
        has_property: whether an example (or the batch that was aggregated) has it, [examples].
        ks: dimensions of the subspaces.
        num_shuffles: of the control.
        seed: of the shuffles.

    Returns:
        One result for each k.

    Raises:
        ValueError: lengths disagree, the property is constant, or a k is below 1 or larger than
            the rank of either set (at most the number of its examples, or of dimensions).
    """
    matrix, has_property = as_matrix(representation), np.asarray(has_property, bool)
    if has_property.shape != matrix.shape[:1]:
        raise ValueError(
            f"has_property has shape {has_property.shape}, the representation "
            f"{len(matrix)} examples"
        )
    if has_property.all() or not has_property.any():
        raise ValueError(
            f"has_property is {has_property[0]} for every example; both kinds are needed"
        )
    check_count("num_shuffles", num_shuffles)
    _check_dimensions(ks, min(has_property.sum(), (~has_property).sum(), matrix.shape[1]))
    # Coordinates within the span of all examples: angles stay, and the shuffles become cheap.
    left, scales, _ = np.linalg.svd(matrix, full_matrices=False)
    coordinates = left * scales

    angles = _angles_between(coordinates, has_property, ks)
    rng = np.random.default_rng(seed)
    shuffles = [
        _angles_between(coordinates, rng.permutation(has_property), ks) for _ in range(num_shuffles)
    ]
    results = []
    for i, k in enumerate(ks):
        control = np.array([_projection(shuffle[i]) for shuffle in shuffles])
        results.append(
            SubspaceDistance(
                k=k,
                angles=angles[i],
                projection=_projection(angles[i]),
                grassmann=float(np.linalg.norm(angles[i])),
                control=percentile_interval(control),
            )
        )
    return tuple(results)


def _check_dimensions(ks: Sequence[int], largest: int) -> None:
    for k in ks:
        if not 1 <= k <= largest:
            raise ValueError(
                f"ks has {k}; it must be between 1 and {largest}, the smallest of the numbers of "
                "examples with the property, without it, and of dimensions"
            )


def _angles_between(
    matrix: Float[np.ndarray, "examples dimensions"],
    has_property: Bool[np.ndarray, " examples"],
    ks: Sequence[int],
) -> list[Float[np.ndarray, " k"]]:
    """Ascending principal angles of both kinds' top-k right singular subspaces, for each k."""
    bases = []
    for part in (matrix[has_property], matrix[~has_property]):
        _, scales, right = np.linalg.svd(part, full_matrices=False)
        rank = int(np.sum(scales > scales[0] * np.finfo(np.float32).eps))
        if max(ks) > rank:
            raise ValueError(
                f"ks has {max(ks)}, but the gradients of {len(part)} examples span only {rank} "
                "dimensions; take a smaller one"
            )
        bases.append(right.T)
    return [subspace_angles(bases[0][:, :k], bases[1][:, :k])[::-1] for k in ks]


def _projection(angles: Float[np.ndarray, " k"]) -> float:
    return float(np.linalg.norm(np.sin(angles)))
