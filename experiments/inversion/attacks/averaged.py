"""Inverting Gradients by an adversary who averages over a bottleneck's noise."""

from experiments.inversion.attacks import Method
from experiments.inversion.search import search

METHOD = Method(
    position=20,
    label="IG averaged",
    what="Inverting Gradients, averaging over a bottleneck's noise",
    run=lambda received, budget, key: search(received, received.shared.averaged, budget, key),
    applies=lambda shared: shared.averaged is not None,
    color="#0072B2",
)
