"""Federated averaging: a client shares what several steps of its own add up to."""

from dataclasses import replace

from experiments.inversion.defenses import Method, Setting
from experiments.inversion.defenses._local import mean_step
from experiments.inversion.defenses._plain import aggregate, whole, without_noise
from experiments.inversion.sharing import SharedUpdate
from experiments.tasks.task import Task


def build(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    """The mean step; who knows of it models the steps."""
    step = mean_step(whole(strength), setting)
    plain = aggregate(task, whole(strength) * setting.batch_size)
    share = without_noise(step(task.loss_fn))
    return replace(plain, share=share, adaptive=replace(plain.naive, expected=step))


METHOD = Method(
    position=80,
    label="{:g} local steps",
    build=build,
    strength=4,
    meaning="number of steps of federated averaging",
    adaptations=("of local steps it models the steps",),
)
