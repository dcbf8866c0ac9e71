"""The clip on the uniqueness of a crowd's gradients."""

from experiments.inversion.defenses._method import Method, Setting
from experiments.inversion.defenses._release import ADAPTATION, transformed
from experiments.inversion.sharing import SharedUpdate
from experiments.tasks.task import Task
from gujax import transforms


def build(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    """What the clip releases; `gujax.transforms.uniqueness_clip`."""
    clip = transforms.uniqueness_clip(
        strength, relative_ridge=setting.relative_ridge, batch_size=setting.crowd
    )
    return transformed(task, setting, lambda key: clip)


METHOD = Method(
    position=100,
    label="clip {:g}",
    build=build,
    strength=0.1,
    meaning="largest uniqueness that an example may have in its batch",
    adaptations=(ADAPTATION,),
)
