"""The inputs of a batch, from the gradient of a layer that a ReLU follows."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gujax.attacks.inversion._exact import NotInvertible
from gujax.validation import check_count

_CHUNK = 2048  # submatrices drawn at once
_MORE_ZEROS = 0.1  # of the units, beyond those that a candidate is made to have: it may be true
_APART = 1e-3  # directions at a smaller angle are one


class ExactBatch(NamedTuple):
    """The inputs of a batch, in any order.

    Attributes:
        inputs: one for each example whose gradient is not zero, [batch, inputs].
        agreement: for each, the share of the layer's units whose activity under the recovered input
            is that which its recovered gradient shows: 1 for an exact input, about 1/2 by chance.
            The attacker needs no truth for it, [batch].
    """

    inputs: Float[np.ndarray, "batch inputs"]
    agreement: Float[np.ndarray, " batch"]


def spear(
    kernel_gradient: Float[np.ndarray | Array, "inputs outputs"],
    bias_gradient: Float[np.ndarray | Array, " outputs"],
    kernel: Float[np.ndarray | Array, "inputs outputs"],
    bias: Float[np.ndarray | Array, " outputs"],
    key: PRNGKeyArray,
    *,
    max_samples: int = 500_000,
    min_agreement: float = 0.95,
) -> ExactBatch:
    """The inputs of a fully connected layer with bias and ReLU, from the gradient of a batch.

    Dimitrov, Baader, Müller, Vechev 2024, "SPEAR: Exact Gradient Inversion of Batches in Federated
    Learning" (arXiv 2403.03945). With Z = X W + b and D = ∂L/∂Z, the gradient Xᵀ D has the rank of
    the batch, B, so D = L Q for left singular vectors L and an unknown B × B matrix Q. Each column
    of D is zero wherever its example does not activate a unit, so a column of Q is orthogonal to
    the rows of L at those units: B − 1 rows are drawn at random, the vector orthogonal to them is a
    candidate, and it is kept if it makes many other entries zero too. The sparsest independent
    candidates are Q's columns up to scale, which the bias gradient gives. Where half of the units
    are active, one draw in about 2^(B−1) / B finds a column.

    The attacker knows the parameters, needs no labels, and is not told the size of the batch. Any
    update that weighs the examples' gradients is inverted as well (clipping, several steps on one
    batch). It is computed in the precision of the gradient; use float64 where it is at hand.

    Args:
        kernel_gradient: gradient of the kernel, [inputs, outputs] as Flax keeps it.
        bias_gradient: gradient of the bias, [outputs].
        kernel: the kernel at which it was taken.
        bias: the bias, likewise.
        key: PRNG key of the draws.
        max_samples: most draws.
        min_agreement: stop as soon as every input's `ExactBatch.agreement` is above this.

    Returns:
        The inputs; the best that were found, if draws ran out before all agree.

    Raises:
        NotInvertible: if the gradient is zero or not finite, its rank is that of a full matrix
            (noise, pruning, a batch as large as the layer) or so high that draws would not do, or
            no basis of sparse directions was found.
        ValueError: if shapes do not fit.
    """
    check_count("max_samples", max_samples)
    gradients = np.asarray(kernel_gradient), np.asarray(bias_gradient)
    layer = np.asarray(kernel), np.asarray(bias)
    for (name, array), wanted in zip(
        (("kernel_gradient", gradients[0]), ("bias_gradient", gradients[1]), ("bias", layer[1])),
        (layer[0].shape, layer[0].shape[1:], layer[0].shape[1:]),
    ):
        if layer[0].ndim != 2 or array.shape != wanted:
            raise ValueError(
                f"{name} has shape {array.shape}, which does not fit the kernel of shape "
                f"{layer[0].shape}, (inputs, outputs)"
            )
    with jax.enable_x64(gradients[0].dtype == np.float64):
        left, right = _factors(gradients[0])
        _check_rank(left.shape[1], min(layer[0].shape), max_samples)
        best, found = None, np.zeros((0, left.shape[1]))
        counts = np.zeros(0, int)
        for step in range(-(-max_samples // _CHUNK)):
            new, zeros = _candidates(left, jax.random.fold_in(key, step))
            found, counts = _sparsest(np.concatenate([found, new]), np.concatenate([counts, zeros]))
            if len(found) < left.shape[1] or not len(new):
                continue
            batch = _solve(found.T, left, right, gradients[1], layer)
            if best is None or batch.agreement.min() > best.agreement.min():
                best = batch
            if best.agreement.min() > min_agreement:
                return best
            if left.shape[1] == 1:
                break
    if best is None:
        raise NotInvertible(
            f"{len(found)} sparse directions were found for a gradient of rank {left.shape[1]} "
            f"in max_samples={max_samples} draws: too few units are inactive for some example, or "
            "no ReLU follows the layer"
        )
    return best


def _factors(
    gradient: Float[np.ndarray, "inputs outputs"],
) -> tuple[Float[np.ndarray, "outputs rank"], Float[np.ndarray, "rank inputs"]]:
    """The transposed gradient as a product, the left factor orthonormal."""
    if not np.isfinite(gradient).all() or not gradient.any():
        raise NotInvertible(
            "the kernel's gradient is zero or not finite: no unit was active for any example"
        )
    left, scales, right = np.linalg.svd(gradient.T, full_matrices=False)
    floor = np.sqrt(gradient.size) * np.finfo(gradient.dtype).eps * scales[0]
    rank = int(np.sum(scales > floor))
    return left[:, :rank], scales[:rank, None] * right[:rank]


def _check_rank(rank: int, full: int, max_samples: int) -> None:
    if rank >= full:
        raise NotInvertible(
            f"the kernel's gradient has full rank, {rank}: it is noisy or pruned, or its batch is "
            f"not smaller than the layer"
        )
    # One draw in 2^(B-1) / B finds a column; all have to be found.
    if 2.0 ** (rank - 1) > max_samples:
        raise NotInvertible(
            f"the kernel's gradient has rank {rank}: to find the zeros of so many examples would "
            f"take more than 2^{rank - 1} draws, max_samples is {max_samples}"
        )


def _candidates(
    left: Float[np.ndarray, "outputs rank"], key: PRNGKeyArray
) -> tuple[Float[np.ndarray, "found rank"], Int[np.ndarray, " found"]]:
    """Directions that make many entries zero, and how many."""
    units, rank = left.shape
    norms = np.linalg.norm(left, axis=1)
    # Rows of units that no example activates are zero whatever the direction.
    rows = left[norms > _zero(left.dtype) * norms.max()]
    if rank == 1:
        return np.ones((1, 1), left.dtype), np.array([units - len(rows)])
    directions, zeros = jax.device_get(_draw(jnp.asarray(rows), key, _CHUNK))
    kept = zeros > rank - 1 + _MORE_ZEROS * len(rows)
    refined = [_refined(rows, direction) for direction in directions[kept]]
    if not refined:
        return np.zeros((0, rank)), np.zeros(0, int)
    return np.stack(refined), zeros[kept]


@partial(jax.jit, static_argnums=2)
def _draw(
    rows: Float[Array, "units rank"], key: PRNGKeyArray, count: int
) -> tuple[Float[Array, "count rank"], Int[Array, " count"]]:
    """Directions orthogonal to random rows, and to how many rows they are."""
    rank = rows.shape[1]
    drawn = rows[jax.random.randint(key, (count, rank - 1), 0, len(rows))]
    # The last column of a complete QR decomposition is orthogonal to all that was decomposed.
    complete, _ = jnp.linalg.qr(jnp.swapaxes(drawn, 1, 2), mode="complete")
    directions = complete[:, :, -1]
    values = jnp.abs(directions @ rows.T)
    zeros = values <= _zero(rows.dtype) * values.max(axis=1, keepdims=True)
    return directions, zeros.sum(axis=1)


def _refined(
    rows: Float[np.ndarray, "units rank"], direction: Float[np.ndarray, " rank"]
) -> Float[np.ndarray, " rank"]:
    """The direction that is orthogonal to all rows that it nearly was orthogonal to."""
    values = np.abs(rows @ direction)
    zero = rows[values <= _zero(rows.dtype) * values.max()]
    return np.linalg.svd(zero)[2][-1]


def _sparsest(
    directions: Float[np.ndarray, "found rank"], zeros: Int[np.ndarray, " found"]
) -> tuple[Float[np.ndarray, "kept rank"], Int[np.ndarray, " kept"]]:
    """The independent directions with the most zeros, by greed, which is optimal for a basis."""
    kept: list[int] = []
    basis = np.zeros((0, directions.shape[1]))
    for place in np.argsort(-zeros, kind="stable"):
        if len(kept) == directions.shape[1]:
            break
        rest = directions[place] - basis.T @ (basis @ directions[place])
        rest -= basis.T @ (basis @ rest)
        if (norm := np.linalg.norm(rest)) > _APART:
            basis = np.concatenate([basis, rest[None] / norm])
            kept.append(int(place))
    return directions[kept], zeros[kept]


def _solve(
    columns: Float[np.ndarray, "rank rank"],
    left: Float[np.ndarray, "outputs rank"],
    right: Float[np.ndarray, "rank inputs"],
    bias_gradient: Float[np.ndarray, " outputs"],
    layer: tuple[np.ndarray, np.ndarray],
) -> ExactBatch:
    """The inputs that belong to a choice of Q's columns up to scale."""
    deltas = left @ columns
    # The bias gradient is the sum of all examples' deltas.
    scales = np.linalg.lstsq(deltas, bias_gradient, rcond=None)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        inputs = np.linalg.solve(columns, right) / scales[:, None]
    inputs = np.where(np.isfinite(inputs), inputs, 0)
    nonzero = np.abs(deltas) > _zero(left.dtype) * np.abs(deltas).max(axis=0)
    active = inputs @ layer[0] + layer[1] > 0
    return ExactBatch(inputs, np.mean(active == nonzero.T, axis=1))


def _zero(dtype: np.dtype) -> float:
    """What counts as zero beside 1: what is left of a vector that was solved for."""
    return 10 * float(np.sqrt(np.finfo(dtype).eps))
