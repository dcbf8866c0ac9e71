"""DP-SGD on a crowd's gradients: clipped, and noise on their sum."""

import optax
from jaxtyping import PRNGKeyArray

from experiments.inversion.defenses._method import Method, Setting
from experiments.inversion.defenses._noise import ADAPTATION as NOISE_ADAPTATION
from experiments.inversion.defenses._noise import SMOOTHING
from experiments.inversion.defenses._release import ADAPTATION, transformed
from experiments.inversion.sharing import SharedUpdate
from experiments.tasks.task import Task
from gujax import transforms


def build(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    """What DP-SGD releases; `gujax.transforms.dp_sgd`."""

    def make(key: PRNGKeyArray) -> optax.GradientTransformationExtraArgs:
        return transforms.dp_sgd(
            setting.l2_norm_clip, strength, setting.crowd, key, batch_size=setting.crowd
        )

    return transformed(task, setting, make, SMOOTHING)


METHOD = Method(
    position=110,
    label="DP-SGD σ={:g}",
    build=build,
    strength=0.1,
    meaning="noise multiplier",
    adaptations=(NOISE_ADAPTATION, ADAPTATION),
)
