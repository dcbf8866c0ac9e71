"""No defense: the mean gradient of a client's batch as it is."""

from experiments.inversion.defenses import Method
from experiments.inversion.defenses._plain import aggregate

METHOD = Method(
    position=0,
    label="no defense",
    build=lambda task, setting, strength: aggregate(task, setting.batch_size),
)
