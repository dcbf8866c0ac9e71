"""Weight standardization of any model."""

import math
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from gujax.models._model import Model

_EPSILON = 1e-8


@cache  # the same model for the same model, so that jit finds its functions again
def standardized(model: Model) -> Model:
    """The model with the kernels of its convolutions standardized before they are used.

    Every output channel's weights are shifted to mean 0 and scaled to variance 1/fan-in over their
    inputs (Qiao et al. 2019, arXiv 1903.10520; the factor, after Brock et al. 2021, arXiv
    2101.08692, keeps signals in scale where no normalization follows). The parameters are those of
    the given model: standardizing is part of what is computed with them, and gradients go through
    it. The gradient of a kernel is then no product any more, and `gujax.per_example_grads` forms
    it densely.

    Args:
        model: a model; parameters with more than two axes are taken for kernels of convolutions,
            output channels last.

    Returns:
        The standardized model.
    """

    def apply(params: PyTree, x: Float[Array, "..."]) -> Float[Array, "... classes"]:
        return model.apply(jax.tree.map(_standardize, params), x)

    return replace(model, apply=apply, make=None)


def _standardize(leaf: Float[Array, "..."]) -> Float[Array, "..."]:
    if leaf.ndim <= 2:
        return leaf
    inputs = tuple(range(leaf.ndim - 1))
    fan_in = math.prod(leaf.shape[:-1])
    spread = jnp.sqrt(fan_in * jnp.var(leaf, inputs, keepdims=True) + _EPSILON)
    return (leaf - jnp.mean(leaf, inputs, keepdims=True)) / spread
