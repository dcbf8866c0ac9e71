"""The budget: an example that has disclosed as much as it may takes no further part."""

from experiments.membership.defenses._method import Method, Strength
from gujax import transforms

METHOD = Method(
    label="budget {:g}".format,
    color="#CC79A7",
    start=lambda strength, place: transforms.disclosure_budget(strength, **place.measuring),
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
