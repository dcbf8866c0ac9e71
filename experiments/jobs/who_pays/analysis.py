"""Accuracy, exposure and removal by group."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from experiments.framework.results import Entry, Key, Measured, Results, entry
from experiments.jobs.who_pays.groups import COMMON, RARE
from experiments.jobs.who_pays.measure import IMBALANCED, WHOLE, Plan, Runs
from experiments.membership.analysis import accuracy_entry, attack_entries, nats_per_example
from experiments.membership.defenses import Defense
from experiments.membership.runs import DefenseRun, SeedRun

EXPOSURES = ("auc", "tpr_at_1pct")

# What is compared, as data and group.
KINDS = {
    "rare groups": (IMBALANCED, RARE),
    "common groups": (IMBALANCED, COMMON),
    "the same, not rare": (WHOLE, RARE),
}


def analyze(plan: Plan, done: Runs) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: data, "as it is" or "imbalanced"; defense; group, among them all that are "rare" and all
    that are "common". Measures that begin with "worst" are about the worst single group of each
    seed.
    """
    for data, groups in plan.groups.items():
        masks = groups.masks()
        for group, (train, test) in masks.items():
            yield entry("training_examples", train.sum(), data=data, group=group)
            yield entry("test_examples", test.sum(), data=data, group=group)
        for run in done[data]:
            place: dict[str, Key] = {"data": data, "defense": run.defense.label}
            yield accuracy_entry(run.seeds, **place)
            found = [
                one
                for group, of_group in masks.items()
                for one in _of_group(run, done[data][0], *of_group, {**place, "group": group})
            ]
            yield from found
            single = [one for one in found if one.keys["group"] not in (RARE, COMMON)]
            for name, worst in (("accuracy", np.min), ("auc", np.max), ("tpr_at_1pct", np.max)):
                values = [one.measured.values for one in single if one.measure == name]
                yield entry(f"worst_{name}", worst(values, axis=0), **place)


def _of_group(
    run: DefenseRun,
    plain: DefenseRun,
    train: Bool[np.ndarray, " examples"],
    test: Bool[np.ndarray, " test"],
    place: Mapping[str, Key],
) -> Iterator[Entry]:
    accuracy, before = (
        np.array([of_seed.outputs.test_correct[:, test].mean() for of_seed in one.seeds])
        for one in (run, plain)
    )
    yield entry("accuracy", accuracy, **place)
    if run is not plain:
        yield entry("accuracy_lost", before - accuracy, **place)
    yield from attack_entries(run.seeds, "lira", [train] * len(run.seeds), **place)
    nats = [nats_per_example(of_seed)[train].mean() for of_seed in run.seeds]
    yield entry("nats", nats, "nats", **place)
    if takes_away(run.defense):
        shares = [
            over_representation(taken_away(run, of_seed), of_seed.members, train)
            for of_seed in run.seeds
        ]
        yield entry("over_representation", shares, **place)


def takes_away(defense: Defense) -> bool:
    """Whether a defense takes away examples, or their part in some epochs."""
    return defense.removes or defense.method.drops


def taken_away(result: DefenseRun, run: SeedRun) -> Float[np.ndarray, "models examples"]:
    """How much of each member's part in training a defense took away, [M, N].

    Censoring removes a member or does not. The gate drops it from the batches of some epochs, as
    the budget does in the end: counted is the share of epochs, for a shuffled epoch shows every
    member once.
    """
    if result.defense.removes:
        return run.removed.astype(float)
    return np.where(run.members, 1 - run.appearances / result.recipe.epochs, 0)


def over_representation(
    taken: Float[np.ndarray, "models examples"],
    members: Bool[np.ndarray, "models examples"],
    group: Bool[np.ndarray, " examples"],
) -> float:
    """Share of a group in what was taken away over its share in the members: 1 is even-handed.

    NaN where nothing was taken away.
    """
    total = taken.sum()
    if total == 0:
        return float("nan")
    return float(taken[:, group].sum() / total / (members[:, group].sum() / members.sum()))


class Rarity(NamedTuple):
    """One measure of the rare groups and of what they are compared with, as in `KINDS`."""

    rare: Measured
    common: Measured
    rare_as_it_is: Measured

    @property
    def contrasts(self) -> list[Measured]:
        """What rare groups have more of than others, and than when they are not rare."""
        return [self.rare - self.common, self.rare - self.rare_as_it_is]


def rarity(results: Results, measure: str, defense: str) -> Rarity:
    """One measure of a defense."""
    places = [{"data": data, "defense": defense, "group": group} for data, group in KINDS.values()]
    return Rarity(*(results.get(measure, **place) for place in places))
