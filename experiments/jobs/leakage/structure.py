"""Which layers a network has, in which order, and which of them are fully connected."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from gujax.leakage import layers_by_use, split_layers
from gujax.models import Model
from gujax.trees import named_leaves


def default_layers(model: Model, layers: Sequence[str] = ()) -> tuple[str, ...]:
    """Layers, as prefixes of the parameter tree, from the input to the output.

    Args:
        model: The network.
        layers: Which. If empty, every layer; of a list of blocks, every block.

    Raises:
        ValueError: A prefix matches no parameter.
    """
    params = _shapes(model)
    chosen = layers or dict.fromkeys(_layer_or_block(path) for path, _ in named_leaves(params))
    assert model.input_shape is not None
    return layers_by_use(model.apply, params, jnp.zeros(model.input_shape), layers=tuple(chosen))


def fully_connected_layers(model: Model, layers: Sequence[str]) -> tuple[str, ...]:
    """Those of the layers that come after the last convolution; none without a convolution."""
    split = split_layers(_shapes(model), layers)
    ndims = {name: {leaf.ndim for leaf in split[name].values()} for name in layers}
    convolutional = [index for index, name in enumerate(layers) if max(ndims[name]) > 2]
    if not convolutional:
        return ()
    return tuple(name for name in layers[convolutional[-1] + 1 :] if 2 in ndims[name])


def layers_to_drop_from(model: Model) -> tuple[str, ...]:
    """The fully connected layers; those of a network without convolutions, but for the first."""
    layers = default_layers(model)
    return fully_connected_layers(model, layers) or layers[1:]


def _layer_or_block(path: str) -> str:
    """The parent of a leaf, or the entry of a list that it is part of."""
    parts = path.split("/")[:-1] or [path]
    entries = [place for place, part in enumerate(parts, start=1) if part.isdigit()]
    return "/".join(parts[: entries[0]] if entries else parts)


def _shapes(model: Model) -> PyTree:
    return jax.eval_shape(model.init, jax.random.key(0))
