"""A model as two pure functions, made from a Flax NNX module."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree


@dataclass(frozen=True)
class Model:
    """A classifier as a pair of pure functions.

    Attributes:
        init: maps a PRNG key to parameters, a pytree of arrays.
        apply: maps ``(params, x)`` to logits. x is one example, of the input shape, or has any
            number of leading batch axes, which the logits keep: [..., *input] to [..., classes].
        make: builds the module that the functions are of, so that a layer can be put into it; None
            if there is none.
        input_shape: shape of one example; None if unknown.
    """

    init: Callable[[PRNGKeyArray], PyTree]
    apply: Callable[[PyTree, Float[Array, "..."]], Float[Array, "... classes"]]
    make: Callable[[nnx.Rngs], nnx.Module] | None = None
    input_shape: tuple[int, ...] | None = None


def from_module(make: Callable[[nnx.Rngs], nnx.Module], input_shape: tuple[int, ...]) -> Model:
    """A `Model` from a Flax NNX module without mutable state (no batch norm, no dropout).

    Args:
        make: builds the module; the module maps [B, *input_shape] to logits [B, classes].
        input_shape: shape of one example.

    Returns:
        Its pure functions; the parameters are a nested dict of arrays.
    """
    structure = nnx.graphdef(nnx.eval_shape(lambda: make(nnx.Rngs(0))))

    def init(key: PRNGKeyArray) -> PyTree:
        return nnx.to_pure_dict(nnx.state(make(nnx.Rngs(key)), nnx.Param))

    def apply(params: PyTree, x: Float[Array, "..."]) -> Float[Array, "... classes"]:
        num_batch_axes = x.ndim - len(input_shape)
        if num_batch_axes < 0 or x.shape[num_batch_axes:] != input_shape:
            raise ValueError(
                f"x has shape {x.shape}, which does not end in the model's input shape "
                f"{input_shape}; build the model with the data set's feature_shape"
            )
        batch = x.shape[:num_batch_axes]
        logits = nnx.merge(structure, params)(x.reshape(math.prod(batch), *input_shape))
        return logits.reshape(*batch, -1)

    return Model(init, apply, make, input_shape)
