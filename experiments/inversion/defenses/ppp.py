"""PPP: PRECODE, and noise on the leaves that its bottleneck leaves as they are."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray, PyTree

from experiments.inversion.defenses import Method, Setting, precode
from experiments.inversion.defenses._bottleneck import ADAPTATION
from experiments.inversion.defenses._noise import ADAPTATION as NOISE_ADAPTATION
from experiments.inversion.defenses._noise import SMOOTHING, check_nonnegative, relative
from experiments.inversion.sharing import Examples, SharedUpdate
from experiments.tasks.task import Task
from gujax import defenses
from gujax.attacks import inversion


def build(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    """PRECODE's update with noise; in training the mean gradient of every batch has it too."""
    check_nonnegative(strength)
    bottleneck = precode.build(task, setting, strength)
    perturbed = inversion.without(*bottleneck.stochastic)

    def perturb(update: PyTree, key: PRNGKeyArray) -> PyTree:
        noise = relative(defenses.gaussian_noise, strength, update, key, perturbed)
        return defenses.perturb(defenses.partial_perturbation(noise, perturbed), update)

    def share(params: PyTree, examples: Examples, key: PRNGKeyArray) -> PyTree:
        inner, outer = jax.random.split(key)
        return perturb(bottleneck.share(params, examples, inner), outer)

    def in_training(key: PRNGKeyArray) -> optax.GradientTransformation:
        def init(params: PyTree) -> PRNGKeyArray:
            return jnp.copy(key)  # so that donating the state does not delete the caller's key

        def update(updates: PyTree, state: PRNGKeyArray, params: PyTree | None = None):
            next_key, noise_key = jax.random.split(state)
            return perturb(updates, noise_key), next_key

        return optax.GradientTransformation(init, update)

    assert bottleneck.adaptive is not None
    bypass = bottleneck.bypass
    return replace(
        bottleneck,
        share=share,
        adaptive=replace(bottleneck.adaptive, smoothing=SMOOTHING),
        bypass=None if bypass is None else replace(bypass, smoothing=SMOOTHING),
        told=None,  # the draws are not all that is random
        in_training=in_training,
    )


METHOD = Method(
    position=30,
    label="PPP {:g}",
    build=build,
    strength=1.0,
    meaning="standard deviation of the noise over the rms of the leaves",
    adaptations=(ADAPTATION, NOISE_ADAPTATION),
)
