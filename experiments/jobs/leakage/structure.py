"""Which layers a network has, in which order, and which of them are fully connected."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from gujax.leakage import layers_by_use, split_layers
from gujax.models import Model
from gujax.trees import named_leaves


def default_layers(model: Model, layers: Sequence[str] = ()) -> tuple[str, ...]:
    """Layers from the input to the output.

    Args:
        model: The network.
        layers: Prefixes of its parameter tree. If empty, every layer; of a list of blocks, every
            block.

    Raises:
        ValueError: A prefix matches no parameter.
    """
    params = _shapes(model)
    chosen = layers or dict.fromkeys(_layer_or_block(path) for path, _ in named_leaves(params))
    assert model.input_shape is not None
    return layers_by_use(model.apply, params, jnp.zeros(model.input_shape), layers=tuple(chosen))


def fully_connected_layers(model: Model, layers: Sequence[str]) -> tuple[str, ...]:
    """Those of the layers that come after the last convolution; none without a convolution.

    Args:
        model: The network.
        layers: Prefixes of its parameter tree, from input to output.
    """
    leaves = split_layers(_shapes(model), layers)
    convolutional = [any(leaf.ndim > 2 for leaf in leaves[name].values()) for name in layers]
    if not any(convolutional):
        return ()
    last = max(i for i, is_convolutional in enumerate(convolutional) if is_convolutional)
    return tuple(
        name for name in layers[last + 1 :] if any(leaf.ndim == 2 for leaf in leaves[name].values())
    )


def layers_to_drop_from(model: Model) -> tuple[str, ...]:
    """The fully connected layers; those of a network without convolutions, but for the first."""
    layers = default_layers(model)
    return fully_connected_layers(model, layers) or layers[1:]


def _layer_or_block(path: str) -> str:
    """The parent of a leaf, or the entry of a list that it is part of."""
    parts = path.split("/")[:-1] or [path]
    for length, part in enumerate(parts, 1):
        if part.isdigit():
            return "/".join(parts[:length])
    return "/".join(parts)


def _shapes(model: Model) -> PyTree:
    return jax.eval_shape(model.init, jax.random.key(0))
