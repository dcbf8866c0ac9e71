"""Accuracy, exposure and removal by group."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from experiments.framework.seeds import differences, over_seeds
from experiments.jobs.who_pays.groups import COMMON, RARE, Groups
from experiments.membership.analysis import measures_over_seeds, nats_per_example
from experiments.membership.runs import DefenseRun, SeedRun

WHOLE, IMBALANCED = "as it is", "imbalanced"
EXPOSURES = ("auc", "tpr_at_1pct")
_TAKEN = "over_representation"


def summarize(runs: Mapping[str, tuple[Groups, Sequence[DefenseRun]]]) -> dict[str, Any]:
    """Everything that the report shows, as JSON types.

    Args:
        runs: For `WHOLE` and `IMBALANCED` the groups and all defenses, plain SGD first.
    """
    variants = {name: _summarize_variant(*of_variant) for name, of_variant in runs.items()}
    return {"variants": variants, "effects": _effects(variants)}


def _summarize_variant(groups: Groups, results: Sequence[DefenseRun]) -> dict[str, Any]:
    masks = groups.masks()
    single = [name for name in masks if name not in (RARE, COMMON)]
    defenses = {}
    for result in results:
        of_groups = {
            name: _summarize_group(result, train, test) for name, (train, test) in masks.items()
        }
        overall = over_seeds([run.outputs.test_correct.mean() for run in result.seeds])
        defenses[result.defense.label] = {
            "family": result.defense.family,
            "recipe": asdict(result.recipe),
            "test_accuracy": overall,
            "groups": of_groups,
            "worst": {
                "accuracy": _worst([of_groups[name]["accuracy"] for name in single], np.min),
                **{
                    measure: _worst([of_groups[name][measure] for name in single], np.max)
                    for measure in EXPOSURES
                },
            },
        }
    return {
        "sizes": {
            name: {"train": int(train.sum()), "test": int(test.sum())}
            for name, (train, test) in masks.items()
        },
        "defenses": defenses,
    }


def _summarize_group(
    result: DefenseRun, train: Bool[np.ndarray, " examples"], test: Bool[np.ndarray, " test"]
) -> dict[str, Any]:
    attack = measures_over_seeds(result.seeds, "lira", [train] * len(result.seeds))
    taken = [taken_away(result, run) for run in result.seeds]
    return {
        "accuracy": over_seeds([run.outputs.test_correct[:, test].mean() for run in result.seeds]),
        **attack,
        "nats": over_seeds([nats_per_example(run)[train].mean() for run in result.seeds]),
        _TAKEN: None
        if taken[0] is None
        else over_seeds(
            [
                over_representation(of_seed, run.members, train)
                for of_seed, run in zip(taken, result.seeds)
                if of_seed is not None
            ]
        ),
    }


def taken_away(result: DefenseRun, run: SeedRun) -> Float[np.ndarray, "models examples"] | None:
    """How much of each member's part in training a defense took away, [M, N]; None if nothing.

    Censoring removes a member or does not. The gate drops it from the batches of some epochs:
    counted is the share of epochs, for a shuffled epoch shows every member once.
    """
    if result.defense.family == "censor":
        return run.removed.astype(float)
    if result.defense.family == "gate":
        return np.where(run.members, 1 - run.appearances / result.recipe.epochs, 0)
    return None


def over_representation(
    taken: Float[np.ndarray, "models examples"],
    members: Bool[np.ndarray, "models examples"],
    group: Bool[np.ndarray, " examples"],
) -> float:
    """Share of a group in what was taken away over its share in the members: 1 is even-handed."""
    return float(taken[:, group].sum() / taken.sum() / (members[:, group].sum() / members.sum()))


def _worst(
    entries: Sequence[Mapping[str, Any]], choose: Callable[..., np.ndarray]
) -> dict[str, Any]:
    """The worst group of each seed."""
    return over_seeds(choose([entry["per_seed"] for entry in entries], axis=0))


def _effects(variants: Mapping[str, Any]) -> dict[str, Any]:
    """What the rare groups have more of than the common ones, and than when they are not rare.

    Differences are paired by seed and positive where the rare groups have the worse of it.
    """

    def measured(label: str, name: str, variant: str, group: str) -> Any:
        return variants[variant]["defenses"][label]["groups"][group][name]

    def cost(label: str, variant: str, group: str) -> dict[str, Any]:
        return differences(
            *(measured(defense, "accuracy", variant, group) for defense in (plain, label))
        )

    labels = list(variants[IMBALANCED]["defenses"])
    plain = labels[0]
    takers = [label for label in labels if measured(label, _TAKEN, IMBALANCED, RARE) is not None]
    return {
        "cost": {label: _contrasts(partial(cost, label)) for label in labels[1:]},
        "exposure": {
            label: {name: _contrasts(partial(measured, label, name)) for name in EXPOSURES}
            for label in labels
        },
        _TAKEN: {label: _contrasts(partial(measured, label, _TAKEN)) for label in takers},
    }


def _contrasts(value: Callable[[str, str], Mapping[str, Any]]) -> dict[str, Any]:
    """Rare groups beside common ones, and beside themselves when they are not rare.

    Args:
        value: Maps a variant and a group to what was measured there.
    """
    rare, common = value(IMBALANCED, RARE), value(IMBALANCED, COMMON)
    rare_as_it_is = value(WHOLE, RARE)
    return {
        "rare": rare,
        "common": common,
        "rare_as_it_is": rare_as_it_is,
        "over_common": differences(rare, common),
        "by_rarity": differences(rare, rare_as_it_is),
    }
