"""What is assumed about the inputs: where the search starts, its box, and what images look like."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

Initialize = Callable[[PRNGKeyArray, PyTree], PyTree]
"""Maps a PRNG key and a pytree of shapes to the first candidate."""

Regularizer = Callable[[PyTree], Float[Array, ""]]
"""Maps a candidate's inputs to a scalar that is small for likely inputs."""

Projection = Callable[[PyTree], PyTree]
"""Maps inputs to the nearest allowed ones."""


def standard_normal(key: PRNGKeyArray, like: PyTree) -> PyTree:
    """Independent standard normal entries, shaped as ``like``."""
    return _independent(jax.random.normal, key, like)


def uniform(key: PRNGKeyArray, like: PyTree) -> PyTree:
    """Independent entries, uniform on [0, 1), shaped as ``like``."""
    return _independent(jax.random.uniform, key, like)


def box(low: ArrayLike, high: ArrayLike) -> Projection:
    """Projection to low ≤ x ≤ high.

    Args:
        low: least value, a number or one that broadcasts against the inputs.
        high: greatest value, likewise.

    Raises:
        ValueError: if ``low`` is not below ``high``.
    """
    if not jnp.all(jnp.asarray(low) < jnp.asarray(high)):
        raise ValueError(f"low={low} must be below high={high}")
    return lambda inputs: jax.tree.map(lambda x: jnp.clip(x, low, high), inputs)


def total_variation(images: Float[Array, "batch h w c"]) -> Float[Array, ""]:
    """Mean absolute difference of vertical plus that of horizontal neighbors.

    Rudin, Osher, Fatemi 1992, anisotropic, as in the code of Geiping et al. 2020.

    Args:
        images: [B, H, W, C].

    Returns:
        A scalar in units of the pixel values.

    Raises:
        ValueError: if ``images`` is not one array of four axes.
    """
    if not isinstance(images, jax.Array | np.ndarray) or images.ndim != 4:
        shapes = ", ".join(str(jnp.shape(x)) for x in jax.tree.leaves(images))
        raise ValueError(
            f"total variation is of images [B, H, W, C], got inputs of shape {shapes}; use "
            "total_variation_weight=0 for other inputs"
        )
    vertical = jnp.mean(jnp.abs(jnp.diff(images, axis=1)))
    return vertical + jnp.mean(jnp.abs(jnp.diff(images, axis=2)))


def _independent(sample: Callable[..., Array], key: PRNGKeyArray, like: PyTree) -> PyTree:
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    sampled = [sample(k, x.shape, x.dtype) for k, x in zip(keys, leaves)]
    return jax.tree.unflatten(structure, sampled)
