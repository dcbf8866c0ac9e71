"""What a transformation of per-example gradients releases of a batch."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from experiments.inversion.defenses import Build, Setting
from experiments.inversion.defenses._plain import aggregate
from experiments.inversion.sharing import Adversary, Examples, SharedUpdate
from experiments.tasks.task import Task
from gujax import per_example_grads
from gujax.training import GradientFn

Transformation: TypeAlias = optax.GradientTransformationExtraArgs

ADAPTATION = "of gate, clip and DP-SGD it is even told the weight of every example"


def released_by(
    make: Callable[[Setting, float, PRNGKeyArray], Transformation], smoothing: float = 1.0
) -> Build:
    """A defense that shares what a transformation of the core makes of a crowd's gradients.

    Args:
        make: The transformation, from setting, strength and the key of its noise.
        smoothing: What the attacker who knows of it makes of the total variation's weight.
    """

    def build(task: Task, setting: Setting, strength: float) -> SharedUpdate:
        make(setting, strength, jax.random.key(0))  # refuses what is no strength
        grads_fn = per_example_grads(task.loss_fn)

        def release(params: PyTree, examples: Examples, key: PRNGKeyArray):
            transformation = make(setting, strength, key)
            state = transformation.init(params)
            return transformation.update(grads_fn(params, examples), state, params)

        def share(params: PyTree, examples: Examples, key: PRNGKeyArray) -> PyTree:
            return release(params, examples, key)[0]

        def side_information(params: PyTree, examples: Examples) -> PyTree:
            # Weights do not depend on noise.
            _, state = release(params, examples, jax.random.key(0))
            return examples[1], state.weights

        adaptive = Adversary(
            task.loss_fn,
            _weighted_gradient,
            side_information=side_information,
            smoothing=smoothing,
        )
        return replace(aggregate(task, setting.crowd), share=share, adaptive=adaptive)

    return build


def _weighted_gradient(loss_fn: Callable) -> GradientFn:
    """Gradient of a weighted sum of losses, the weights given with the labels."""

    def gradient_fn(params: PyTree, examples: PyTree) -> PyTree:
        x, (y, weights) = examples

        def total(params: PyTree) -> Float[Array, ""]:
            return jnp.vdot(weights, jax.vmap(loss_fn, (None, 0))(params, (x, y)))

        return jax.grad(total)(params)

    return gradient_fn
