"""The diagonal estimate of gradient uniqueness, for comparison with the exact one."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PyTree

from gujax.gradients import materialize
from gujax.sharding import automatic_axes
from gujax.validation import check_nonnegative


@automatic_axes
def diagonal_uniqueness(
    grads: PyTree, epsilon: ArrayLike, *, mask: Bool[Array, " batch"] | None = None
) -> Float[Array, " batch"]:
    """GNQ with S_j replaced by its diagonal: sum_p g_jp^2 / (sum_{k != j} g_kp^2 + epsilon).

    It needs every per-example gradient in full, and ignores that coordinates are correlated.

    Args:
        grads: per-example gradients, as :func:`gujax.per_example_grads` returns them.
        epsilon: added to each coordinate's second moment, >= 0, in units of a squared gradient.
        mask: [B], false for padded examples: absent from the sums, and their value is 0.

    Returns:
        The estimate, [B]; with ``epsilon`` 0, inf where a coordinate belongs to one example alone.

    Raises:
        ValueError: if ``epsilon`` is negative.

    Source: arXiv 2510.10902 v1.
    """
    check_nonnegative("epsilon", epsilon)
    return sum(
        _leaf_uniqueness(leaf, epsilon, mask) for leaf in jax.tree.leaves(materialize(grads))
    )


def _leaf_uniqueness(leaf, epsilon, mask):
    squares = jnp.square(leaf.reshape(leaf.shape[0], -1))
    if mask is not None:
        squares = jnp.where(jnp.asarray(mask, bool)[:, None], squares, 0)
    # The total minus one's own cancels where one dominates, which only the largest can: the others
    # of the largest are summed without it.
    largest = jnp.arange(len(squares))[:, None] == jnp.argmax(squares, axis=0)[None]
    rest = jnp.sum(jnp.where(largest, 0, squares), axis=0, keepdims=True)
    total = rest + jnp.max(squares, axis=0, keepdims=True)
    ratio = squares / (jnp.where(largest, rest, total - squares) + epsilon)
    return jnp.sum(jnp.where(squares > 0, ratio, squares), axis=1)  # no gradient, no share: not 0/0
