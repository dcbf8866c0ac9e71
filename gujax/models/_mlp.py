"""Multi-layer perceptron."""

import itertools
import math
from collections.abc import Sequence

import jax
from flax import nnx
from jaxtyping import Array, Float

from gujax.models._model import Model, from_module


class MLP(nnx.Module):
    """Fully connected layers with ReLU between them, on flattened input."""

    def __init__(self, sizes: Sequence[int], *, rngs: nnx.Rngs):
        self.layers = nnx.List(
            [nnx.Linear(d_in, d_out, rngs=rngs) for d_in, d_out in itertools.pairwise(sizes)]
        )

    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        """Logits of a batch."""
        x = x.reshape(x.shape[0], -1)
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)


def mlp(input_shape: Sequence[int], num_classes: int, hidden: Sequence[int] = (128,)) -> Model:
    """A multi-layer perceptron with ReLU.

    Args:
        input_shape: shape of one example; it is flattened.
        num_classes: number of logits.
        hidden: widths of the hidden layers.

    Returns:
        The model as pure functions.
    """
    sizes = (math.prod(input_shape), *hidden, num_classes)
    return from_module(lambda rngs: MLP(sizes, rngs=rngs), tuple(input_shape))
