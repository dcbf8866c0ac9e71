"""Hyperparameters that travel with the parameters: models with different ones are one program."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from gujax.training import LossFn

Chain = Callable[[dict[str, Array], PRNGKeyArray], optax.GradientTransformation]
"""Maps hyperparameters, maybe traced, and a key to an optax chain for the model's gradients."""


def with_tuned(params: PyTree, **tuned: Array) -> PyTree:
    """The model's parameters and its hyperparameters as one pytree."""
    return {"model": params, "tuned": tuned}


def tuned_loss(loss_fn: LossFn) -> LossFn:
    """The loss as a function of such a pytree."""
    return lambda params, example: loss_fn(params["model"], example)


def tuned_optimizer(
    chain: Chain,
) -> Callable[[PRNGKeyArray], optax.GradientTransformationExtraArgs]:
    """An optimizer that reads its hyperparameters from `params["tuned"]` and leaves them alone."""

    def make(key: PRNGKeyArray) -> optax.GradientTransformationExtraArgs:
        def init(params: PyTree) -> PyTree:
            return chain(params["tuned"], key).init(params["model"])

        def update(grads: PyTree, state: PyTree, params: PyTree, **extra: Any):
            optimizer = optax.with_extra_args_support(chain(params["tuned"], key))
            updates, state = optimizer.update(grads["model"], state, params["model"], **extra)
            still = jax.tree.map(jnp.zeros_like, params["tuned"])
            return {"model": updates, "tuned": still}, state

        return optax.GradientTransformationExtraArgs(init, update)

    return make
