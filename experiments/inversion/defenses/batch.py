"""Aggregation over a larger batch."""

from experiments.inversion.defenses import Method
from experiments.inversion.defenses._plain import aggregate, whole

METHOD = Method(
    position=70,
    label="batch of {:g}",
    build=lambda task, setting, strength: aggregate(task, whole(strength)),
    strength=8,
    meaning="number of examples whose mean gradient is shared",
)
