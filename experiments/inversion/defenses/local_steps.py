"""Federated averaging: a client shares what several steps of its own add up to."""

from dataclasses import replace

import jax
from jaxtyping import PyTree

from experiments.inversion.defenses import Method, Setting
from experiments.inversion.defenses._plain import aggregate, whole, without_noise
from experiments.inversion.sharing import Examples, SharedUpdate
from experiments.tasks.task import Task
from gujax import defenses
from gujax.attacks import inversion
from gujax.training import GradientFn, LossFn


def build(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    """The mean step; who knows of it models the steps."""
    num_steps, rate = whole(strength), setting.local_learning_rate
    plain = aggregate(task, num_steps * setting.batch_size)

    def mean_step(loss_fn: LossFn) -> GradientFn:
        total = defenses.local_steps(
            inversion.batch_gradient(loss_fn), rate, batch_size=setting.batch_size
        )

        def update(params: PyTree, examples: Examples) -> PyTree:
            # Who knows the learning rate takes it out: what is left is a gradient in its own units.
            return jax.tree.map(lambda leaf: leaf / (rate * num_steps), total(params, examples))

        return update

    share = without_noise(mean_step(task.loss_fn))
    return replace(plain, share=share, adaptive=replace(plain.naive, expected=mean_step))


METHOD = Method(
    position=80,
    label="{:g} local steps",
    build=build,
    strength=4,
    meaning="number of steps of federated averaging",
    adaptations=("of local steps it models the steps",),
)
