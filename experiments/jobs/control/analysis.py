"""What `control` measured: every method's settings, and its frontier."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.framework.seeds import over_seeds
from experiments.jobs.control.frontier import at_equal_accuracy
from experiments.membership.measured import attacks, describe, find
from experiments.membership.runs import DefenseRun

REFERENCE = "censor"
LEFT_OUT = "censor, removed left out"
DRAWN = 3  # frontiers are drawn up to so many times the largest named loss of accuracy
_GRID = 40  # points of a drawn frontier


def summarize(results: Sequence[DefenseRun], drops: Sequence[float]) -> dict[str, Any]:
    """Accuracy and attacks of every setting, and what methods give away at equal accuracy.

    Args:
        results: All settings; plain SGD first.
        drops: Accuracy given up at which methods are compared.
    """
    defenses = {result.defense.label: describe(result) for result in results}
    for result in results:
        if result.defense.family == REFERENCE:
            kept = [~run.removed for run in result.seeds]
            defenses[result.defense.label]["attacks_on_kept"] = attacks(result, kept)
    points = _points(defenses)
    ((plain,), methods) = points.pop("sgd"), points
    grid = np.linspace(0, DRAWN * max(drops), _GRID).tolist()
    return {
        "defenses": defenses,
        "drops": list(drops),
        "at_drops": {
            name: at_equal_accuracy(plain, settings, drops) for name, settings in methods.items()
        },
        "frontiers": {
            name: [
                {"drop": drop, "rate": rate}
                for drop, rate in zip(grid, at_equal_accuracy(plain, settings, grid))
                if rate is not None
            ]
            for name, settings in methods.items()
        },
        "settings": {
            name: [_lost(plain, setting) for setting in settings]
            for name, settings in methods.items()
        },
    }


def _points(defenses: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The settings of each method, as points of its frontier."""

    def point(label: str, entry: Mapping[str, Any], attacked: str = "attacks") -> dict[str, Any]:
        success = entry[attacked]["best"]["tpr_at_1pct"]
        return {"label": label, "accuracy": entry["test_accuracy"], "success": success}

    families = dict.fromkeys(entry["family"] for entry in defenses.values())
    points = {
        family: [point(label, entry) for label, entry in find(defenses, family).items()]
        for family in families
    }
    points[LEFT_OUT] = [
        point(label, entry, "attacks_on_kept") for label, entry in find(defenses, REFERENCE).items()
    ]
    return points


def _lost(plain: Mapping[str, Any], setting: Mapping[str, Any]) -> dict[str, Any]:
    """One setting as a figure shows it."""
    lost = np.subtract(plain["accuracy"]["per_seed"], setting["accuracy"]["per_seed"])
    return {
        "label": setting["label"],
        "drop": over_seeds(lost),
        "rate": setting["success"],
    }
