"""Dropout before chosen layers of a model."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from gujax.defenses._insertion import parts_of, shape_before, wrap
from gujax.defenses._randomized import RandomizedModel
from gujax.models import Model


def insert_dropout(model: Model, before: str | Sequence[str], rate: float) -> RandomizedModel:
    """Drop features before some layers of a model, in training.

    Srivastava et al. 2014 (Dropout, JMLR 15, section 10): each feature is 0 with probability
    ``rate`` and else divided by ``1 - rate``, independently, so that evaluation is the plain model.
    Dropout has no parameters: ``init``, ``apply`` and the paths of the parameters are those of
    ``model``, and each takes the parameters of the other.

    Args:
        model: a model of a Flax NNX module, such as those of `gujax.models`, or
            `gujax.models.from_module` of your own.
        before: paths of the layers whose input is dropped from, or one of them, with "/" between
            the parts of a path.
        rate: probability with which a feature is dropped.

    Returns:
        The model as pure functions; train it with `randomized_loss`.

    Raises:
        ValueError: if ``rate`` is outside [0, 1), the model has no module or no such layer, no
            layer is named, or one is not called exactly once for an input.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate={rate} must be at least 0 and below 1")
    make, input_shape = parts_of(model)
    # Inner layers first: wrapping an outer one changes their paths.
    paths = sorted({before} if isinstance(before, str) else set(before), reverse=True)
    if not paths:
        raise ValueError("before names no layer; give the path of one at least")
    for path in paths:
        shape_before(model, path)
    structure = nnx.graphdef(nnx.eval_shape(lambda: make(nnx.Rngs(0))))

    def sample(
        params: PyTree, x: Float[Array, "..."], key: PRNGKeyArray
    ) -> tuple[Float[Array, " classes"], Float[Array, ""]]:
        module = nnx.merge(structure, params)
        for path, path_key in zip(paths, jax.random.split(key, len(paths))):
            wrap(module, path, partial(_Dropped, rate=rate, key=path_key))
        return module(x[None])[0], jnp.zeros(())

    return RandomizedModel(model.init, model.apply, make, input_shape, sample=sample)


class _Dropped(nnx.Module):
    """A layer whose input is dropped from."""

    def __init__(self, layer: nnx.Module, rate: float, key: PRNGKeyArray):
        self.layer = layer
        self.rate = rate
        self.key = nnx.data(key)

    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        kept = jax.random.bernoulli(self.key, 1 - self.rate, x.shape)
        return self.layer(jnp.where(kept, x / (1 - self.rate), 0))
