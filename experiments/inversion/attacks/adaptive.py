"""Inverting Gradients by an adversary who knows the defense."""

from experiments.inversion.attacks import Method
from experiments.inversion.search import search

METHOD = Method(
    position=10,
    label="IG adaptive",
    what="Inverting Gradients by an attacker who knows the defense",
    run=lambda received, budget, key: search(received, received.shared.adaptive, budget, key),
    applies=lambda shared: shared.adaptive is not None,
    color="#D55E00",
)
