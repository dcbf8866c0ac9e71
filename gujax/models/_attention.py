"""Causal attention with rotary positions and shared heads of keys and values."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def rotated(
    x: Float[Array, "batch t heads size"], theta: float, share: float = 1.0
) -> Float[Array, "batch t heads size"]:
    """Queries or keys with their positions, from 0, written into them.

    Entry i of the first half of what is rotated and entry i of the second half turn together, by
    position · theta^(−2i / size). Su et al. 2021 (arXiv 2104.09864), in the order of Hugging Face.

    Args:
        x: queries or keys.
        theta: base of the frequencies.
        share: share of a head's entries that are rotated, from the first on.
    """
    size = round(share * x.shape[-1])
    frequencies = theta ** (-np.arange(0, size, 2) / size)
    # Angles are the same for every example: NumPy has them in float64, whatever the model is in.
    angles = np.arange(x.shape[1])[:, None] * frequencies
    cos, sin = (jnp.asarray(function(angles), x.dtype)[:, None, :] for function in (np.cos, np.sin))
    first, second = x[..., : size // 2], x[..., size // 2 : size]
    turned = [first * cos - second * sin, second * cos + first * sin]
    return jnp.concatenate([*turned, x[..., size:]], axis=-1)


def attend(
    queries: Float[Array, "batch t heads size"],
    keys: Float[Array, "batch t key_heads size"],
    values: Float[Array, "batch t key_heads size"],
) -> Float[Array, "batch t width"]:
    """What every position reads from itself and those before it, heads side by side.

    Written out, for `jax.nn.dot_product_attention` has its softmax in float32 also where all else
    is in float64.
    """
    batch, t, heads, size = queries.shape
    shared = queries.reshape(batch, t, keys.shape[2], -1, size)
    scores = jnp.einsum("btkgs,buks->bkgtu", shared, keys) / math.sqrt(size)
    scores = scores.astype(jnp.promote_types(scores.dtype, jnp.float32))
    seen = np.tril(np.ones((t, t), bool))
    weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), axis=-1).astype(values.dtype)
    attended = jnp.einsum("bkgtu,buks->btkgs", weights, values)
    return attended.reshape(batch, t, heads * size)
