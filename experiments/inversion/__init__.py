"""Inversion of shared updates: defenses, the attacks that each has to stand, and their measures.

    task, space = standardized(load_task("digits", "mlp", (1024, 1024)))
    (shared,) = build_shared_updates(task, ["precode"])
    received = share(shared, params, victims, key)  # params of shared.model
    outcome = attack(received, "adaptive", SearchBudget(space, 300, 0.1, 1e-2), key)
    frame = rows(received, "adaptive", outcome, victims, space)

`shared.loss_fn` (and `shared.randomized`) is what such a model is trained with.
"""

from experiments.inversion.attacks import applicable, attack, check_attacks
from experiments.inversion.defenses import Setting, build_shared_updates
from experiments.inversion.measuring import rows, victim_uniqueness
from experiments.inversion.search import (
    Outcome,
    SearchBudget,
    check_leaves,
    curvature_text,
    inverting_gradients,
)
from experiments.inversion.sharing import Adversary, Received, SharedUpdate, Victims, share
from experiments.inversion.space import Space, standardized

__all__ = [
    "Adversary",
    "Outcome",
    "Received",
    "SearchBudget",
    "Setting",
    "SharedUpdate",
    "Space",
    "Victims",
    "applicable",
    "attack",
    "build_shared_updates",
    "check_attacks",
    "check_leaves",
    "curvature_text",
    "inverting_gradients",
    "rows",
    "share",
    "standardized",
    "victim_uniqueness",
]
