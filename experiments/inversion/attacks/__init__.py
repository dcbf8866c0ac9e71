"""Inversion attacks by name, and what each is made on.

    for name in applicable(shared, ["ig", "analytic"]):
        outcome = attack(received, name, budget, key)

A new one is one file beside this: its name is the attack's, its `METHOD` says what the attack is.
"""

from experiments.inversion.attacks._method import Method
from experiments.inversion.attacks._registry import (
    applicable,
    attack,
    check_attacks,
    compared,
    label,
    methods,
    searches,
)

__all__ = [
    "Method",
    "applicable",
    "attack",
    "check_attacks",
    "compared",
    "label",
    "methods",
    "searches",
]
