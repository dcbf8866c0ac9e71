"""The gate: a batch's most unique examples are dropped from it."""

from experiments.membership.defenses._method import Method, Strength
from gujax import transforms

METHOD = Method(
    label="gate q={:g}".format,
    color="#0072B2",
    start=lambda quantile, place: transforms.uniqueness_gate(quantile=quantile, **place.measuring),
    strength=Strength(
        "quantile of a batch's uniqueness above which examples are dropped",
        defaults=(0.9,),
        allowed=lambda quantile: 0 < quantile <= 1,
        must="above 0 and at most 1",
    ),
    measures_anyway=True,
    drops=True,
)
