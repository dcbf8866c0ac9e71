"""The clip on the uniqueness of a crowd's gradients."""

from jaxtyping import PRNGKeyArray

from experiments.inversion.defenses import Method, Setting
from experiments.inversion.defenses._release import ADAPTATION, Transformation, released_by
from gujax import transforms


def clip(setting: Setting, strength: float, key: PRNGKeyArray) -> Transformation:
    """`gujax.transforms.uniqueness_clip`."""
    return transforms.uniqueness_clip(
        strength, relative_ridge=setting.relative_ridge, batch_size=setting.crowd
    )


METHOD = Method(
    position=100,
    label="clip {:g}",
    build=released_by(clip),
    strength=0.1,
    meaning="largest uniqueness that an example may have in its batch",
    adaptations=(ADAPTATION,),
)
