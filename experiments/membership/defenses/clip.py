"""The clip: gradients are scaled down until no example is too unique in its batch."""

from experiments.membership.defenses._method import Method, Place, Strength
from gujax import transforms


def start(strength: float, place: Place):
    """The clip; `gujax.transforms.uniqueness_clip`."""
    return transforms.uniqueness_clip(strength, **place.measuring)


METHOD = Method(
    label="clip {:g}".format,
    color="#56B4E9",
    start=start,
    strength=Strength(
        "largest uniqueness that an example may have in its batch",
        defaults=(0.01,),
        allowed=lambda cap: cap > 0,
        must="positive",
    ),
    measures_anyway=True,
)
