"""Leverage and gradient uniqueness (GNQ) from the Gram matrix of per-example gradients."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from gujax.uniqueness.odds import projection_odds, ridge_odds
from gujax.uniqueness.ridge import resolve_ridge
from gujax.validation import check_no_nan, is_concrete


def uniqueness(
    K: Float[Array, "batch batch"],
    ridge: ArrayLike = 0.0,
    *,
    relative_ridge: ArrayLike = 0.0,
    mask: Bool[Array, "batch"] | None = None,
) -> Float[Array, "batch"]:
    """Gradient uniqueness of every example, GNQ_j = g_j^T (S_j + ridge I)^+ g_j.

    S_j = sum over k != j of g_k g_k^T is the leave-one-out second moment of the other examples'
    gradients. In batch space GNQ = h / (1 - h), with h the :func:`leverage`; neither h nor 1 - h
    is formed by a subtraction that cancels.

    With ``ridge`` 0 the inverse is the Moore-Penrose one, and GNQ is ``inf`` where g_j leaves the
    span of the others (which, with more parameters than examples, is almost everywhere). What
    counts as leaving it is decided relative to each gradient's own norm, so that norms may differ
    by many orders of magnitude: a component whose squared length is below B * eps times that of
    the gradient is not resolved by a Gram matrix of that precision, and counts as zero.

    A positive ``ridge`` below B * eps * K_jj is likewise finer than K resolves: GNQ_j then has an
    error of up to about B * eps * K_jj / ridge. Use float64, or a larger ridge.

    Args:
        K: Gram matrix of the per-example gradients, symmetric, [B, B].
        ridge: lambda >= 0, in the units of K. May be traced; a plain number saves a branch.
        relative_ridge: ridge as a fraction of the mean of diag(K), added to ``ridge``.
        mask: [B], false for padded examples: they are absent from every S_j, and their GNQ is 0.

    Returns:
        GNQ, [B], in [0, inf]. Inside jit, all NaN if an unmasked entry of ``K`` or the ridge is
        NaN, or the ridge negative.

    Raises:
        ValueError: if ``K`` is not square or, outside jit, holds NaN; if a ridge is negative.

    Source: arXiv 2510.10902 v2, "batch space"; the ridge is ``gujax.uniqueness.ridge``.
    """
    odds, _ = _odds(K, ridge, relative_ridge, mask)
    return odds


def leverage(
    K: Float[Array, "batch batch"],
    ridge: ArrayLike = 0.0,
    *,
    relative_ridge: ArrayLike = 0.0,
    mask: Bool[Array, "batch"] | None = None,
) -> Float[Array, "batch"]:
    """Leverage of every example in gradient space, h = diag((K + ridge I)^-1 K).

    With ``ridge`` 0 the inverse is the Moore-Penrose one and h the diagonal of the projection onto
    the range of K.

    Args:
        K: Gram matrix of the per-example gradients, symmetric, [B, B].
        ridge: lambda >= 0, in the units of K. May be traced; a plain number saves a branch.
        relative_ridge: ridge as a fraction of the mean of diag(K), added to ``ridge``.
        mask: [B], false for padded examples: they are absent from K, and their leverage is 0.

    Returns:
        h, [B], in [0, 1]; with ridge 0, 1 where g_j leaves the span of the others. Inside jit, all
        NaN if an unmasked entry of ``K`` or the ridge is NaN, or the ridge negative.

    Raises:
        ValueError: if ``K`` is not square or, outside jit, holds NaN; if a ridge is negative.
    """
    _, h = _odds(K, ridge, relative_ridge, mask)
    return h


def _odds(K, ridge, relative_ridge, mask):
    K = jnp.asarray(K)
    if K.ndim != 2 or K.shape[0] != K.shape[1]:
        raise ValueError(f"K must be a square matrix [batch, batch], got shape {K.shape}")
    K = K.astype(jnp.promote_types(K.dtype, jnp.float32))
    if mask is not None:
        keep = jnp.asarray(mask, bool)
        if keep.shape != K.shape[:1]:
            raise ValueError(f"mask must have shape {K.shape[:1]}, as K has, got {keep.shape}")
        K = jnp.where(keep[:, None] & keep[None, :], K, 0)
    check_no_nan("K", K, "look for NaN in the loss or its gradients, or mask those examples")
    total = jnp.asarray(resolve_ridge(K, ridge, relative_ridge, mask=mask), K.dtype)
    if total.ndim:
        raise ValueError(f"ridge must be a scalar, got shape {total.shape}")
    # The branch is chosen here where the ridge is a plain number: under vmap, a lax.cond would
    # compute both sides.
    if _known_positive(ridge) or _known_positive(relative_ridge):
        return _guarded(ridge_odds, K, total)
    if is_concrete(ridge) and is_concrete(relative_ridge):
        return _guarded(_without_ridge, K, total)
    return _guarded(_with_or_without_ridge, K, total)


def _known_positive(value):
    return is_concrete(value) and bool(value > 0)


def _without_ridge(K, _):
    return projection_odds(K)


def _with_or_without_ridge(K, ridge):
    return lax.cond(ridge > 0, ridge_odds, _without_ridge, K, ridge)


@partial(jax.jit, static_argnums=0)
def _guarded(method, K, ridge):
    """NaN for everybody where K or the ridge is invalid: comparisons take NaN for a number."""
    valid = ~jnp.isnan(K).any() & (ridge >= 0)
    odds, h = method(K, ridge)
    return jnp.where(valid, odds, jnp.nan), jnp.where(valid, h, jnp.nan)
