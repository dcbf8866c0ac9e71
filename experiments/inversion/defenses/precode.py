"""PRECODE: a variational bottleneck before a late layer (Scheliga et al. 2022)."""

from experiments.inversion.defenses import Method, Setting
from experiments.inversion.defenses._bottleneck import ADAPTATION, bottleneck
from experiments.inversion.defenses._plain import last_layer
from experiments.inversion.sharing import SharedUpdate
from experiments.tasks.task import Task
from gujax import defenses

_LINEAR = defenses.linear()


def build(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    """The bottleneck before the layer that the setting names, or the last one."""
    del strength
    return bottleneck(task, setting.before or last_layer(task), _LINEAR, setting.beta, setting)


METHOD = Method(position=10, label="PRECODE", build=build, adaptations=(ADAPTATION,))
