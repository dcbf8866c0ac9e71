"""The clip: gradients are scaled down until no example is too unique in its batch."""

from experiments.membership.defenses._method import Method, Strength
from gujax import transforms

METHOD = Method(
    label="clip {:g}".format,
    color="#56B4E9",
    start=lambda strength, place: transforms.uniqueness_clip(strength, **place.measuring),
    strength=Strength(
        "largest uniqueness that an example may have in its batch",
        defaults=(0.01,),
        allowed=lambda cap: cap > 0,
        must="positive",
    ),
    measures_anyway=True,
)
