"""Accuracy and attack success of every defense, one number per seed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Bool

from experiments.framework.seeds import over_seeds
from experiments.membership.analysis import measures_over_seeds
from experiments.membership.runs import DefenseRun

ATTACKS = {"lira": "LiRA", "rmia": "RMIA"}
RATES = {"tpr_at_1pct": 0.01, "tpr_at_01pct": 0.001}

Include = Sequence[Bool[np.ndarray, "models examples"]]


def describe(result: DefenseRun) -> dict[str, Any]:
    """What one defense is, and its accuracy and attacks with all members counted."""
    return {
        "family": result.defense.family,
        "strength": result.defense.strength,
        "recipe": asdict(result.recipe),
        "privacy": asdict(result.privacy) if result.privacy else None,
        "overflow": int(sum(run.steps.overflow.sum() for run in result.seeds)),
        "test_accuracy": over_seeds([run.outputs.test_correct.mean() for run in result.seeds]),
        "attacks": attacks(result),
    }


def attacks(result: DefenseRun, include: Include | None = None) -> dict[str, dict[str, Any]]:
    """What each attack and the better of both reaches.

    Args:
        result: Runs of one defense.
        include: For each seed, which pairs of model and example count; all if None.

    Returns:
        Measures by attack; "best" holds, for each rate of `RATES`, the larger of the attacks'
        true-positive rates in each seed.
    """
    found = {name: measures_over_seeds(result.seeds, name, include) for name in ATTACKS}
    best = {
        rate: over_seeds(np.max([found[name][rate]["per_seed"] for name in ATTACKS], axis=0))
        for rate in RATES
    }
    return {**found, "best": best}


def find(defenses: Mapping[str, Any], family: str) -> dict[str, Any]:
    """The defenses of one family, by label."""
    return {label: entry for label, entry in defenses.items() if entry["family"] == family}


def headline(defenses: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The numbers by which runs are compared: accuracy and the better attack of each defense."""
    return {
        f"{prefix}{label}, {name}": {end: measured[end] for end in ("mean", "low", "high")}
        for label, entry in defenses.items()
        for name, measured in (
            ("test accuracy", entry["test_accuracy"]),
            ("TPR at 1 % FPR", entry["attacks"]["best"]["tpr_at_1pct"]),
        )
    }
