"""The gate on the uniqueness of a crowd's gradients."""

from experiments.inversion.defenses._method import Method, Setting
from experiments.inversion.defenses._release import ADAPTATION, transformed
from experiments.inversion.sharing import SharedUpdate
from experiments.tasks.task import Task
from gujax import transforms


def build(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    """What the gate releases; `gujax.transforms.uniqueness_gate`."""
    gate = transforms.uniqueness_gate(
        quantile=strength, relative_ridge=setting.relative_ridge, batch_size=setting.crowd
    )
    return transformed(task, setting, lambda key: gate)


METHOD = Method(
    position=90,
    label="gate q={:g}",
    build=build,
    strength=0.75,
    meaning="quantile of a batch's uniqueness above which examples go",
    adaptations=(ADAPTATION,),
)
