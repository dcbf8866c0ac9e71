"""Leverage and gradient uniqueness (GNQ) from the Gram matrix of per-example gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from gujax.precision import exact_products
from gujax.sharding import automatic_axes
from gujax.uniqueness._ridge import resolve_ridge
from gujax.uniqueness._ridge_leverage import projection_odds, ridge_odds
from gujax.validation import check_no_nan, is_concrete


@automatic_axes
def uniqueness(
    K: Float[Array, "batch batch"],
    ridge: ArrayLike = 0.0,
    *,
    relative_ridge: ArrayLike = 0.0,
    mask: Bool[Array, " batch"] | None = None,
) -> Float[Array, " batch"]:
    """Gradient uniqueness of every example, GNQ_j = g_j^T (S_j + ridge I)^+ g_j.

    S_j = sum over k != j of g_k g_k^T is the leave-one-out second moment of the other examples'
    gradients. In batch space GNQ = h / (1 - h), with h the :func:`leverage`; 1 - h is a sum of
    positive terms, and h is accurate relative to the share K_jj / (K_jj + ridge) that bounds it.

    With ``ridge`` 0 the inverse is the Moore-Penrose one, and GNQ is ``inf`` where g_j leaves the
    span of the others (which, with more parameters than examples, is almost everywhere). What
    counts as leaving it is decided relative to each gradient's own norm, so that norms may differ
    by many orders of magnitude: a component whose squared length is below B * eps times that of
    the gradient is not resolved by a Gram matrix of that precision, and counts as zero.

    A positive ``ridge`` below eps * trace(K) is likewise finer than K resolves: the result is then
    finite, but means little. :func:`uniqueness_error` bounds the error. Use float64, or a larger
    ridge.

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

    Source: arXiv 2510.10902 v2, "batch space"; the ridge: `gujax.noise_ridge`.
    """
    odds, _ = _odds(K, ridge, relative_ridge, mask)
    return odds


@automatic_axes
def leverage(
    K: Float[Array, "batch batch"],
    ridge: ArrayLike = 0.0,
    *,
    relative_ridge: ArrayLike = 0.0,
    mask: Bool[Array, " batch"] | None = None,
) -> Float[Array, " batch"]:
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


@automatic_axes
def ridge_dominance(
    K: Float[Array, "batch batch"],
    ridge: ArrayLike = 0.0,
    *,
    relative_ridge: ArrayLike = 0.0,
    mask: Bool[Array, " batch"] | None = None,
) -> Float[Array, " batch"]:
    """How far GNQ only measures the ridge: GNQ_j over what it would be without other examples.

    An example on its own has GNQ_j = K_jj / ridge; others can only lower it. The ratio is a mean of
    ridge / (eigenvalue of S_j + ridge) over the directions of g_j, weighted by their part in its
    squared norm: the share of the gradient that nothing but the assumed noise hides. Near 1, as in
    a batch much smaller than the number of parameters, GNQ is the squared norm over the ridge and
    says nothing of the other examples: its scale is the threat model's, and larger batches or
    :func:`batch_to_dataset_uniqueness` are needed to learn more. Near 0 the ridge hardly matters.

    Args:
        K, ridge, relative_ridge, mask: as for :func:`uniqueness`.

    Returns:
        The ratio, [B], in [0, 1]; 0 for a gradient of zero and for padding. NaN for a traced ridge
        of 0.

    Raises:
        ValueError: as :func:`uniqueness` does, and if the ridge is the number 0.
    """
    gnq = uniqueness(K, ridge, relative_ridge=relative_ridge, mask=mask)
    diagonal, total = _positive_ridge(K, ridge, relative_ridge, mask)
    there = gnq > 0
    alone = jnp.where(there, diagonal, 1) / total
    return jnp.where(there | jnp.isnan(gnq), jnp.minimum(gnq / alone, 1), 0)


@automatic_axes
def uniqueness_error(
    K: Float[Array, "batch batch"],
    ridge: ArrayLike = 0.0,
    *,
    relative_ridge: ArrayLike = 0.0,
    mask: Bool[Array, " batch"] | None = None,
) -> Float[Array, ""]:
    """Bound on |error of GNQ_j| / (1 + GNQ_j) that comes from the rounding of K.

    1 - h = ridge [(K + ridge I)^-1]_jj changes by a factor of at most ||dK|| / ridge, and rounding
    changes K by about eps times its trace. From 1 on, GNQ is not resolved by a Gram matrix of this
    precision.

    Args:
        K, ridge, relative_ridge, mask: as for :func:`uniqueness`.

    Returns:
        eps * trace(K) / ridge, a scalar; eps is that of the type of K. It knows nothing of errors
        in the gradients: those of bfloat16 change GNQ by up to about 2^-8 sqrt(trace(K) / ridge).

    Raises:
        ValueError: as :func:`uniqueness` does, and if the ridge is the number 0.
    """
    diagonal, total = _positive_ridge(K, ridge, relative_ridge, mask)
    return jnp.finfo(diagonal.dtype).eps * jnp.sum(diagonal) / total


def _positive_ridge(K, ridge, relative_ridge, mask):
    """The unmasked diagonal of K, and the ridge in effect, for what is not defined without one."""
    K, total = _checked(K, ridge, relative_ridge, mask)
    known = is_concrete(ridge) and is_concrete(relative_ridge)
    if known and not (_known_positive(ridge) or _known_positive(relative_ridge)):
        raise ValueError(
            "ridge must be greater than 0 here: pass ridge or relative_ridge (see "
            "gujax.noise_ridge for what it stands for)"
        )
    return jnp.diagonal(K), total


@exact_products
def _odds(K, ridge, relative_ridge, mask):
    K, total = _checked(K, ridge, relative_ridge, mask)
    # The branch is chosen here where the ridge is a plain number: under vmap, a lax.cond would
    # compute both sides.
    if _known_positive(ridge) or _known_positive(relative_ridge):
        return _guarded(ridge_odds, K, total)
    if is_concrete(ridge) and is_concrete(relative_ridge):
        return _guarded(_without_ridge, K, total)
    return _guarded(_with_or_without_ridge, K, total)


def _checked(K, ridge, relative_ridge, mask):
    """K in at least float32 and without padding, and the ridge in effect."""
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
    return K, total


def _known_positive(value):
    return is_concrete(value) and bool(np.asarray(value) > 0)  # inside jit, jnp would trace it


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
