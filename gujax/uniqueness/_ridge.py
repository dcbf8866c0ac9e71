"""The ridge: the variance of the noise that the attacker is assumed to face, over p(1 - p).

It belongs to the threat model and is never a hidden numerical constant.
"""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from gujax.sharding import automatic_axes
from gujax.validation import check_nonnegative, check_probability, is_concrete


def noise_ridge(noise_std: ArrayLike, inclusion_probability: ArrayLike) -> Float[Array, "..."]:
    """Ridge that Gaussian noise on the released sum amounts to, sigma^2 / (p (1 - p)).

    Args:
        noise_std: standard deviation of the noise added to each coordinate of the *sum* of
            gradients (for DP-SGD: noise_multiplier * l2_norm_clip).
        inclusion_probability: p in (0, 1), the probability that an example is in the sum.

    Returns:
        The ridge lambda, in the units of a squared gradient norm.

    Raises:
        ValueError: if ``noise_std`` is negative or ``inclusion_probability`` outside (0, 1).
    """
    check_nonnegative("noise_std", noise_std)
    check_probability("inclusion_probability", inclusion_probability)
    p = jnp.asarray(inclusion_probability)
    return jnp.square(noise_std) / (p * (1 - p))


@automatic_axes
def relative_ridge(
    K: Float[Array, "batch batch"],
    fraction: ArrayLike,
    *,
    mask: Bool[Array, " batch"] | None = None,
) -> Float[Array, ""]:
    """Ridge as a fraction of the mean squared gradient norm, which ignores the loss's scale.

    Args:
        K: Gram matrix of the per-example gradients, [B, B].
        fraction: the ridge over the mean of diag(K); 0.1 means a tenth of the mean squared norm.
        mask: [B], false for padded examples, which the mean leaves out.

    Returns:
        The ridge, a scalar; zero if every gradient is zero or every example padded.

    Raises:
        ValueError: if ``fraction`` is negative.
    """
    check_nonnegative("fraction", fraction)
    diagonal = jnp.diagonal(K)
    fraction = jnp.asarray(fraction, diagonal.dtype)
    if mask is None:
        return fraction * jnp.mean(diagonal)
    keep = jnp.asarray(mask, bool)
    total = jnp.sum(jnp.where(keep, diagonal, 0))
    return fraction * total / jnp.maximum(jnp.sum(keep), 1)


@automatic_axes
def resolve_ridge(
    K: Float[Array, "batch batch"],
    ridge: ArrayLike,
    relative: ArrayLike,
    *,
    mask: Bool[Array, " batch"] | None = None,
) -> ArrayLike:
    """The ridge in effect: the absolute one plus the relative one.

    Args:
        K: Gram matrix of the per-example gradients, [B, B].
        ridge: absolute ridge, in the units of a squared gradient norm.
        relative: relative ridge, see :func:`relative_ridge`.
        mask: [B], false for padded examples.

    Returns:
        A scalar; ``ridge`` itself, unchanged, where ``relative`` is the number 0.

    Raises:
        ValueError: if either is negative.
    """
    check_nonnegative("ridge", ridge)
    check_nonnegative("relative_ridge", relative)
    if is_concrete(relative) and not relative:
        return ridge
    return ridge + relative_ridge(K, relative, mask=mask)
