"""Convolution as one matrix product, for CPUs."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def convolution_by_patches(
    inputs: Float[Array, "batch h w c_in"],
    kernel: Float[Array, "kh kw c_in c_out"],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **unused: Any,
) -> Float[Array, "batch h_out w_out c_out"]:
    """What `lax.conv_general_dilated` computes, as a product of patches and kernel.

    XLA's fast convolutions for CPUs are only used in a program's outermost part: inside a loop, as
    in training, the convolutions of a backward pass are some twenty times slower than this
    product. It also stays one product under a ``vmap`` over models. It takes kh · kw times the
    memory of the input.

    Args:
        inputs: images.
        kernel: weights.
        window_strides: steps between patches, vertical and horizontal.
        padding: ``"SAME"``, ``"VALID"`` or the margins.
        **unused: the further arguments that `flax.nnx.Conv` passes, at their defaults.
    """
    height, width, _, num_out = kernel.shape
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(
            inputs.shape[1:3], (height, width), tuple(window_strides), padding
        )
    padded = jnp.pad(inputs, ((0, 0), *padding, (0, 0)))
    down, right = window_strides
    rows = (padded.shape[1] - height) // down + 1
    columns = (padded.shape[2] - width) // right + 1
    # First along one axis, then along the other: fewer operations to compile than all at once.
    across = jnp.concatenate(
        [padded[:, :, j : j + (columns - 1) * right + 1 : right] for j in range(width)], axis=-1
    )
    patches = jnp.concatenate(
        [across[:, i : i + (rows - 1) * down + 1 : down] for i in range(height)], axis=-1
    )
    return patches @ kernel.reshape(-1, num_out)


def choose_convolution(by_patches: bool) -> Callable[..., Array]:
    """`convolution_by_patches`, or XLA's own; for the `conv_general_dilated` of `flax.nnx.Conv`."""
    return convolution_by_patches if by_patches else lax.conv_general_dilated
