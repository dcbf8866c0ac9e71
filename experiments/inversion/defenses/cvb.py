"""CVB: a convolutional variational bottleneck early in the network (Scheliga et al. 2023)."""

from experiments.inversion.defenses import Method, Setting
from experiments.inversion.defenses._bottleneck import ADAPTATION, bottleneck
from experiments.inversion.defenses._plain import second_layer
from experiments.inversion.sharing import SharedUpdate
from experiments.tasks.task import Task
from gujax import defenses

_CONVOLUTIONAL = defenses.convolutional(by_patches=True)


def build(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    """The bottleneck before the layer that the setting names, or the second one."""
    del strength
    before = setting.early_before or second_layer(task)
    return bottleneck(task, before, _CONVOLUTIONAL, setting.early_beta, setting)


METHOD = Method(
    position=20, label="CVB", build=build, adaptations=(ADAPTATION,), needs_convolutions=True
)
