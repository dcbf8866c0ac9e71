"""The gate on the uniqueness of a crowd's gradients."""

from jaxtyping import PRNGKeyArray

from experiments.inversion.defenses import Method, Setting
from experiments.inversion.defenses._release import ADAPTATION, Transformation, released_by
from gujax import transforms


def gate(setting: Setting, strength: float, key: PRNGKeyArray) -> Transformation:
    """`gujax.transforms.uniqueness_gate`."""
    return transforms.uniqueness_gate(
        quantile=strength, relative_ridge=setting.relative_ridge, batch_size=setting.crowd
    )


METHOD = Method(
    position=90,
    label="gate q={:g}",
    build=released_by(gate),
    strength=0.75,
    meaning="quantile of a batch's uniqueness above which examples go",
    adaptations=(ADAPTATION,),
)
