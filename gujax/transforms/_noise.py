"""Independent noise on every entry of a gradient."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from gujax.transforms._scalars import Scalar


def add_noise(
    tree: PyTree,
    scale: Scalar | Float[Array, ""],
    key: PRNGKeyArray,
    sampler: Callable[..., Array] = jax.random.normal,
) -> PyTree:
    """The tree plus noise, drawn in float32 or better and rounded to each leaf's type.

    Args:
        tree: a pytree of arrays.
        scale: what the sampler's numbers are multiplied by, in units of the tree.
        key: PRNG key; every leaf draws with its own.
        sampler: ``sampler(key, shape, dtype)``, as those of `jax.random`.

    Returns:
        The noisy tree, shaped and typed as ``tree``.
    """
    leaves, structure = jax.tree.flatten(tree)

    def noisy(leaf: Array, leaf_key: PRNGKeyArray) -> Array:
        dtype = jnp.promote_types(leaf.dtype, jnp.float32)
        return (leaf + scale * sampler(leaf_key, leaf.shape, dtype)).astype(leaf.dtype)

    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(structure, [noisy(leaf, k) for leaf, k in zip(leaves, keys)])
