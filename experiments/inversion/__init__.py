"""Inversion of shared updates: defenses, the attacks that each has to stand, and their measures.

    task, space = standardized(load_task("digits", "mlp", (1024, 1024)))
    (sharing,) = build_sharings(task, ["precode"])
    shared = share(sharing, params, victims, key)  # params of sharing.model
    outcome = attack(shared, "adaptive", Effort(space, 300, 0.1, 1e-2), key)
    frame = rows(shared, "adaptive", outcome, victims, space)

`sharing.loss_fn` (and `sharing.randomized`) is what such a model is trained with.
"""

from experiments.inversion.attacking import (
    Effort,
    Outcome,
    applicable,
    attack,
    check_attacks,
    check_leaves,
    inverting_gradients,
)
from experiments.inversion.defenses import Setting, build_sharings
from experiments.inversion.measuring import rows, victim_uniqueness
from experiments.inversion.sharing import Shared, Sharing, Victims, View, share
from experiments.inversion.space import Space, standardized

__all__ = [
    "Effort",
    "Outcome",
    "Setting",
    "Shared",
    "Sharing",
    "Space",
    "Victims",
    "View",
    "applicable",
    "attack",
    "build_sharings",
    "check_attacks",
    "check_leaves",
    "inverting_gradients",
    "rows",
    "share",
    "standardized",
    "victim_uniqueness",
]
