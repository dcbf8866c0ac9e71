"""Leverage h and its odds h / (1 - h), accurate where h is near 0 and where it is near 1."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from gujax.uniqueness._linalg import eliminate, inverse_diagonal_excess, resolution


def ridge_odds(
    K: Float[Array, "n n"], ridge: Float[Array, ""]
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Odds and leverage for a positive ridge.

    Args:
        K: symmetric positive semi-definite, [n, n].
        ridge: scalar; 1 takes the place of 0 (a relative ridge where every gradient is zero).

    Returns:
        (h / (1 - h), h), each [n], with h = diag((K + ridge I)^-1 K).
    """
    ridge = jnp.where(ridge == 0, jnp.ones_like(ridge), ridge)
    # Unit diagonal, so that gradients of wildly different norms share one well-scaled matrix.
    scale = lax.rsqrt(jnp.diagonal(K) + ridge)
    scaled_K = scale[:, None] * K * scale[None, :]
    scaled_ridge = ridge * jnp.square(scale)
    excess = inverse_diagonal_excess(scaled_K + jnp.diag(scaled_ridge))
    # 1 - h = ridge ((K + ridge I)^-1)_jj, all of it positive, and h = 1 - (1 - h) with the share of
    # the example alone, K_jj / (K_jj + ridge), taken out: nothing cancels where it is small.
    complement = scaled_ridge * (1 + excess)
    h = jnp.clip(jnp.diagonal(scaled_K) - scaled_ridge * excess, 0, 1)
    return h / complement, h


def projection_odds(K: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Odds and leverage for the pseudo-inverse (ridge 0).

    The null space of K is what the linear dependences among the gradients span. Written as
    g_i = sum_j C_ij g_j, each dependent gradient i by gradients j of a basis, they give h and
    1 - h, diagonals of projections, by two problems with a ridge of 1:

        GNQ of a dependent example i:  odds of (C C^T, ridge 1) at i
        GNQ of a basis example j:      1 / odds of (C^T C, ridge 1) at j    (inf if nobody needs it)

    Args:
        K: symmetric positive semi-definite, [n, n].

    Returns:
        (h / (1 - h), h), each [n].
    """
    norm = jnp.sqrt(jnp.diagonal(K))
    norm = jnp.where(norm > 0, norm, 1)
    cosines = K / norm[:, None] / norm[None, :]
    coefficients, dependent = _express_short_by_long(_dependences(cosines), norm)
    pair = jnp.stack([coefficients @ coefficients.T, coefficients.T @ coefficients])
    odds, h = jax.vmap(ridge_odds, (0, None))(pair, jnp.ones((), K.dtype))
    return jnp.where(dependent, odds[0], 1 / odds[1]), jnp.where(dependent, h[0], 1 - h[1])


def _dependences(cosines: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Linear dependences of unit vectors: a row x with sum_j x_j g_j = 0 for each dependent one.

    Gradients enter the basis in the order of what remains of them outside of it, until the squared
    length of every remainder is below the resolution. Components below it count as zero too.
    """
    n = cosines.shape[0]
    tolerance = resolution(cosines)

    def step(_, carry: tuple[Array, Bool[Array, "n"]]):
        state, in_basis = carry
        remains = jnp.where(in_basis, 0, jnp.diagonal(state))
        k = jnp.argmax(remains)
        outside = remains[k] > tolerance
        pivot = jnp.where(outside, remains[k], 1)
        eliminated = eliminate(state, k, pivot, ~in_basis.at[k].set(True))
        return jnp.where(outside, eliminated, state), in_basis.at[k].set(in_basis[k] | outside)

    state, in_basis = lax.fori_loop(0, n, step, (cosines, jnp.zeros_like(cosines[0], bool)))
    needed = in_basis[None, :] & (jnp.square(state) > tolerance)
    rows = jnp.where(needed, state, 0) + jnp.eye(n, dtype=state.dtype)
    return jnp.where(in_basis[:, None], 0, rows)


def _express_short_by_long(
    dependences: Float[Array, "n n"], norm: Float[Array, " n"]
) -> tuple[Float[Array, "n n"], Bool[Array, " n"]]:
    """Coefficients C of the dependent gradients in a basis, and which gradients are dependent.

    Gauss-Jordan elimination with complete pivoting, which solves each dependence for the gradient
    of largest coefficient, that is, the shortest. So C stays small, whatever the norms.
    """
    n = dependences.shape[0]

    def step(_, carry: tuple[Array, Bool[Array, "n"]]):
        rows, solved = carry
        candidates = jnp.where(solved[:, None], 0, jnp.abs(rows))
        i, k = jnp.divmod(jnp.argmax(candidates), n)
        found = candidates[i, k] > 0
        row = rows[i] / jnp.where(found, rows[i, k], 1)
        swapped = rows.at[i].set(rows[k])  # the row solved for gradient k becomes row k
        cleared = (swapped - swapped[:, k, None] * row[None, :]).at[:, k].set(0).at[k].set(row)
        return jnp.where(found, cleared, rows), solved.at[k].set(solved[k] | found)

    start = (dependences / norm[None, :], jnp.zeros_like(dependences[0], bool))
    rows, dependent = lax.fori_loop(0, n, step, start)
    shares = jnp.square(rows * norm[None, :] / norm[:, None])
    needed = dependent[:, None] & ~dependent[None, :] & (shares > resolution(rows))
    return jnp.where(needed, -rows, 0), dependent
