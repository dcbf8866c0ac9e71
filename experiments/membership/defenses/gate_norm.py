"""The gate by norm: a batch's longest gradients are dropped; what the gate has to beat."""

from experiments.membership.defenses import gate
from experiments.membership.defenses._method import Method
from gujax import transforms

METHOD = Method(
    label="gate by norm q={:g}".format,
    color="#332288",
    start=lambda quantile, place: transforms.norm_gate(quantile, **place.measuring),
    like="gate",
    strength=gate.METHOD.strength,
    drops=True,
    front="gate by norm",
)
