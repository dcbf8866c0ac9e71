"""Elimination and inversion of small positive definite matrices, in XLA's own operations.

Why not ``jnp.linalg``: on CPU its Cholesky and triangular solve run in SciPy's OpenBLAS, whose
threads keep spinning after the call and take the cores away from XLA's own, so that the rest of a
training step slows down too. Here everything is a matrix product or a short loop of rank-one
updates on one block, which also vectorizes under ``vmap``.

Storage, as in an in-place inversion: for A = L L^T, eliminating with index k turns row k into a
row of L^T right of the diagonal and a row of L^-1 left of it and on it; a column that has been
cleared makes room for one of the inverse.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

_BLOCK_SIZE = 32


def resolution(matrix: Float[Array, "n n"]) -> float:
    """Least pivot of an elimination that is more than rounding error, for a unit diagonal."""
    return matrix.shape[0] * float(jnp.finfo(matrix.dtype).eps)


def eliminate(
    matrix: Float[Array, "n n"],
    k: int | Array,
    pivot: Float[Array, ""],
    remaining: Bool[Array, " n"],
) -> Float[Array, "n n"]:
    """One step of the elimination: scale row ``k``, and clear column ``k`` of the remaining rows.

    Args:
        matrix: symmetric, or partly eliminated, [n, n].
        k: the index to eliminate with.
        pivot: its diagonal entry, or what is to be used in its place; positive.
        remaining: rows to be cleared, [n].

    Returns:
        The matrix with row k done and column k started, [n, n].
    """
    here = jnp.arange(matrix.shape[0]) == k
    scale = lax.rsqrt(pivot)
    row = jnp.where(here, 1, matrix[k]) * scale
    factors = jnp.where(remaining, matrix[:, k], 0) * scale
    cleared = jnp.where(remaining[:, None] & here[None, :], 0, matrix)
    return jnp.where(here[:, None], row[None, :], cleared - factors[:, None] * row[None, :])


@jax.custom_jvp
def unit_spd_inverse(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Inverse of a symmetric positive definite matrix of unit diagonal.

    Args:
        matrix: symmetric positive (semi-)definite with ones on the diagonal, [n, n]. A pivot below
            its :func:`resolution` is raised to it, so that the result is finite.

    Returns:
        The inverse, symmetric, [n, n]. NaN in ``matrix`` gives NaN.
    """
    inverse_factor = jnp.tril(_eliminated(matrix))
    return inverse_factor.T @ inverse_factor


@unit_spd_inverse.defjvp
def _unit_spd_inverse_jvp(primals, tangents):
    inverse = unit_spd_inverse(*primals)
    return inverse, -inverse @ tangents[0] @ inverse


@jax.custom_jvp
def inverse_diagonal_excess(matrix: Float[Array, "n n"]) -> Float[Array, " n"]:
    """diag(A^-1) - 1, without cancellation and without the product that the inverse takes.

    With A = L L^T, the diagonal of the inverse is sum_k (L^-1)_kj^2, and (L^-1)_jj^2 - 1 equals
    (L^-1)_jj^2 sum_{k<j} L_jk^2, because row j of L has unit length: all terms are positive.

    Args:
        matrix: as for :func:`unit_spd_inverse`.

    Returns:
        The excess, [n], not negative. NaN in ``matrix`` gives NaN.
    """
    squares = jnp.square(_eliminated(matrix))
    above, below = jnp.triu(squares, 1), jnp.tril(squares, -1)
    return jnp.diagonal(squares) * jnp.sum(above, axis=0) + jnp.sum(below, axis=0)


@inverse_diagonal_excess.defjvp
def _inverse_diagonal_excess_jvp(primals, tangents):
    inverse = unit_spd_inverse(*primals)
    return inverse_diagonal_excess(*primals), -jnp.sum((inverse @ tangents[0]) * inverse, axis=1)


def _eliminated(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """For matrix = L L^T: L^-1 on and below the diagonal, L^T above it; a block at a time."""
    n = matrix.shape[0]
    num_blocks = -(-n // _BLOCK_SIZE)
    size = -(-n // num_blocks)
    padding = num_blocks * size - n
    floor = resolution(matrix)
    matrix = jnp.pad(matrix, (0, padding)) + jnp.diag(jnp.arange(n + padding) >= n)
    index = jnp.arange(n + padding)

    def eliminate_block(block, state):
        start = block * size
        in_block = (index >= start) & (index < start + size)
        after = index >= start + size
        rows = lax.dynamic_slice_in_dim(state, start, size)
        corner = lax.dynamic_slice_in_dim(rows, start, size, axis=1)
        lower, inverse_lower, resolved = _factor_block(corner, floor)
        # Solve lower @ done = rows. The second step removes the error of the explicit inverse,
        # which is large where the block is nearly singular.
        done = inverse_lower @ rows
        done = done + inverse_lower @ (rows - lower @ done)
        done = lax.dynamic_update_slice_in_dim(done, inverse_lower, start, axis=1)
        # What remains of an unresolved row is rounding error: clearing with it would amplify it.
        done = jnp.where(after[None, :] & ~resolved[:, None], 0, done)
        cleared = jnp.where(after[:, None] & in_block[None, :], 0, state)
        state = cleared - jnp.where(after, done, 0).T @ done
        corner = inverse_lower + jnp.triu(lower.T, 1)
        done = lax.dynamic_update_slice_in_dim(done, corner, start, axis=1)
        return lax.dynamic_update_slice_in_dim(state, done, start, axis=0)

    state = lax.fori_loop(0, num_blocks, eliminate_block, matrix)
    return state[:n, :n]


def _factor_block(
    corner: Float[Array, "m m"], floor: float
) -> tuple[Float[Array, "m m"], Float[Array, "m m"], Bool[Array, " m"]]:
    """Cholesky factor of one block, its inverse, and which pivots exceeded the floor."""
    index = jnp.arange(corner.shape[0])

    def body(k, carry):
        state, resolved = carry
        pivot = state[k, k]
        resolved = resolved & ((index != k) | ~(pivot <= floor))  # NaN counts, so that it spreads
        remaining = (index > k) & resolved[k]
        return eliminate(state, k, jnp.maximum(pivot, floor), remaining), resolved

    start = (corner, jnp.ones_like(corner[0], bool))
    state, resolved = lax.fori_loop(0, corner.shape[0], body, start)
    upper = jnp.where(resolved[:, None], jnp.triu(state, 1), 0)
    return upper.T + jnp.diag(1 / jnp.diagonal(state)), jnp.tril(state), resolved
