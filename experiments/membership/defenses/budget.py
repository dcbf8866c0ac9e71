"""The budget: an example that has disclosed as much as it may takes no further part."""

from experiments.membership.defenses._method import Method, Place, Strength
from gujax import transforms


def start(strength: float, place: Place):
    """The budget; `gujax.transforms.disclosure_budget`."""
    return transforms.disclosure_budget(strength, **place.measuring)


METHOD = Method(
    label="budget {:g}".format,
    color="#CC79A7",
    start=start,
    strength=Strength(
        "nats that each example may disclose over the run",
        defaults=(1.0,),
        allowed=lambda nats: nats > 0,
        must="positive",
    ),
    measures_anyway=True,
    needs_ledger=True,
    drops=True,
)
