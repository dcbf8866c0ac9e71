"""The gate by chance: examples are dropped from batches at random; what every gate has to beat."""

import jax

from experiments.membership.defenses import gate
from experiments.membership.defenses._method import Method, Place
from gujax import transforms


def start(quantile: float, place: Place):
    """The gate; where a place has no key, as where steps are timed, any draws do."""
    key = jax.random.key(0) if place.key is None else place.key
    return transforms.chance_gate(quantile, key, **place.measuring)


METHOD = Method(
    label="gate by chance q={:g}".format,
    color="#882255",
    start=start,
    like="gate",
    strength=gate.METHOD.strength,
    drops=True,
    front="gate by chance",
)
