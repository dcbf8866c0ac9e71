"""Inverting Gradients (Geiping et al. 2020) by an adversary who does not know of the defense."""

from experiments.inversion.attacks import Method
from experiments.inversion.search import search

METHOD = Method(
    position=0,
    label="IG",
    what="Inverting Gradients; matches all leaves and does not know of the defense",
    run=lambda received, budget, key: search(received, received.shared.naive, budget, key),
    color="#222222",
)
