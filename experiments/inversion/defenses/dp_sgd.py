"""DP-SGD on a crowd's gradients: clipped, and noise on their sum."""

from jaxtyping import PRNGKeyArray

from experiments.inversion.defenses import Method, Setting
from experiments.inversion.defenses._noise import ADAPTATION as NOISE_ADAPTATION
from experiments.inversion.defenses._noise import SMOOTHING
from experiments.inversion.defenses._release import ADAPTATION, Transformation, released_by
from gujax import transforms


def dp_sgd(setting: Setting, strength: float, key: PRNGKeyArray) -> Transformation:
    """`gujax.transforms.dp_sgd`."""
    return transforms.dp_sgd(
        setting.l2_norm_clip, strength, setting.crowd, key, batch_size=setting.crowd
    )


METHOD = Method(
    position=110,
    label="DP-SGD σ={:g}",
    build=released_by(dp_sgd, SMOOTHING),
    strength=0.1,
    meaning="noise multiplier",
    adaptations=(NOISE_ADAPTATION, ADAPTATION),
)
