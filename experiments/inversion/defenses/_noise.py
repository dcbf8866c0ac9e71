"""What defenses that add noise have in common: noise relative to what it is added to."""

from collections.abc import Callable
from dataclasses import replace

import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import PRNGKeyArray, PyTree

from experiments.inversion.defenses import Build, Setting
from experiments.inversion.defenses._plain import aggregate
from experiments.inversion.sharing import Examples, SharedUpdate
from experiments.tasks.task import Task
from gujax import defenses
from gujax.attacks import inversion
from gujax.trees import LeafWeights, weigh

Noise = Callable[[ArrayLike, PRNGKeyArray], optax.GradientTransformation]

MEANING = "standard deviation over the rms of the update"
SMOOTHING = 3.0  # of those who know that the update is noisy
ADAPTATION = "of noise it smooths three times as much"


def noisy(noise: Noise) -> Build:
    """A defense that adds noise to the whole update, so many times its root mean square."""

    def build(task: Task, setting: Setting, strength: float) -> SharedUpdate:
        plain = aggregate(task, setting.batch_size)
        check_nonnegative(strength)

        def share(params: PyTree, examples: Examples, key: PRNGKeyArray) -> PyTree:
            update = plain.share(params, examples, key)
            return defenses.perturb(relative(noise, strength, update, key), update)

        return replace(plain, share=share, adaptive=replace(plain.naive, smoothing=SMOOTHING))

    return build


def relative(
    noise: Noise,
    strength: ArrayLike,
    update: PyTree,
    key: PRNGKeyArray,
    leaf_weights: LeafWeights = inversion.every_leaf,
) -> optax.GradientTransformation:
    """Noise whose standard deviation is relative to the rms of the entries it is added to."""
    leaves = weigh(leaf_weights, update)
    squares = sum((jnp.vdot(leaf, leaf) for leaf in leaves), jnp.zeros(()))
    return noise(strength * jnp.sqrt(squares / sum(leaf.size for leaf in leaves)), key)


def check_nonnegative(strength: float) -> None:
    """Raises `ValueError` for what is no standard deviation."""
    if not strength >= 0:
        raise ValueError(f"its strength {strength:g} must be at least 0")
