"""The numbers of the comparison, from its runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.framework.results import Entry, entry, leaving_out
from experiments.jobs.compare.measure import Compared, Plan
from experiments.membership.analysis import (
    accuracy_entry,
    best_entries,
    class_accuracy,
    decile_entries,
    defense_entries,
    found_by_best,
    kept_entries,
    nats_per_example,
    pooled_auc,
    pooled_mu,
    prediction_entries,
    quantile_bins,
    worst_entries,
)
from experiments.membership.canaries import canary_entries, of_canaries, ordinary, selected
from experiments.membership.fronts import Point, contest, front, placed
from experiments.membership.one_run import OneRun
from experiments.membership.runs import DefenseRun
from experiments.tasks.task import Task

LOSSES = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16)  # of accuracy, at which fronts are compared
_GRID = 40  # points of a drawn front
DP_SGD, EARLY_STOPPING, OUT_OF_FOLD = "DP-SGD", "early stopping", "out of fold"
# Whom the claims hold a family against.
RIVALS = {
    "gate": (DP_SGD,),
    "censor": (DP_SGD,),
    OUT_OF_FOLD: (DP_SGD, EARLY_STOPPING),
}
SIDES = OWN, RIVAL = "own", "rival"
# Of whom something is found: its measure, the key "examples", and how measures of fronts begin.
_FOUND = {
    "members": ("found", "ordinary", ""),
    "canaries": ("canaries_found", "canaries", "canary_"),
}

Families = Mapping[str, Sequence[Point]]


def analyze(plan: Plan, compared: Compared) -> Iterator[Entry]:
    """Everything that the report shows.

    Canaries are left out of all but the entries that are named after them.

    Keys: defense; attack, of `experiments.membership.attacks.ATTACKS` or "best"; setting, a defense
    or a further point of a front; front, its family, and accuracy, at which fronts are compared;
    contest, a family held against its `RIVALS`, side and examples (ordinary or canaries); kept, see
    `experiments.membership.analysis.kept_entries`; class; decile, of the nats that an example
    accumulates in plain SGD, per seed, mean over the models that were given it; mu_decile, of μ in
    plain SGD; relative_ridge, of plain SGD's first seed; model and step, of what was timed.
    """
    task = plan.task
    defenses = [ordinary(run, task) for run in compared.defenses]
    plain = defenses[0]
    yield from _fronts(plan, compared)
    nats = [nats_per_example(run) for run in plain.seeds]
    bins = [quantile_bins(of_seed) for of_seed in nats]
    train = task.dataset.train
    common = ~np.isin(train.ids, () if task.canaries is None else task.canaries.ids)
    for run, whole in zip(defenses, compared.defenses):
        label = run.defense.label
        yield from defense_entries(run)
        yield from best_entries(run.seeds, defense=label)
        yield from worst_entries(run.seeds, train.y[common], "worst_class_found", defense=label)
        if train.subgroups is not None:
            of_group = train.subgroups[common]
            yield from worst_entries(run.seeds, of_group, "worst_subgroup_found", defense=label)
        yield from canary_entries(whole, task)
        yield from _classes(plan.task, run)
        auc = [pooled_auc([of_seed]) for of_seed in run.seeds]
        yield from decile_entries("auc_per_example", auc, bins, defense=label)
        yield from prediction_entries(run.seeds, defense=label)
        yield from _one_run(compared.predicted[label], label)
        if run.defense.removes:
            # The same points under the plain attack: the difference is what removal did to them.
            yield from kept_entries(run, [plain])
    yield from decile_entries("nats", nats, bins)
    yield from _by_mu(plain)
    for ridge, every in sorted(compared.ridges.items()):
        first = selected(every, common)
        disclosed = nats_per_example(first)
        yield entry("median_nats", np.median(disclosed), "nats", relative_ridge=ridge)
        yield entry("max_nats", np.max(disclosed), "nats", relative_ridge=ridge)
        yield from prediction_entries([first], relative_ridge=ridge)
    for model, steps in compared.costs.items():
        for step, cost in steps.items():
            yield entry("milliseconds", cost.milliseconds, "ms", model=model, step=step)
            yield entry("relative", cost.relative, model=model, step=step)
            yield entry("memory_mib", cost.memory_mib, "MiB", model=model, step=step)


@dataclass(frozen=True)
class _Setting:
    """A point of a front, and what `found_by_best` finds there: of members, and of canaries."""

    label: str
    front: str
    accuracy: Float[np.ndarray, " seeds"]
    found: Mapping[str, Float[np.ndarray, "parts seeds"]]


def _fronts(plan: Plan, compared: Compared) -> Iterator[Entry]:
    """Every setting, and the fronts that they make; intervals count seeds and examples."""
    task, settings = plan.task, []
    for whole in (*compared.defenses, *compared.fronts):
        run, label = ordinary(whole, task), whole.defense.label
        accuracy = accuracy_entry(run.seeds, setting=label)
        yield accuracy
        yield entry("seconds", whole.seconds, "s", setting=label)
        if whole.privacy is not None and np.isfinite(whole.privacy.epsilon):
            yield entry("epsilon_spent", whole.privacy.epsilon, setting=label)
        found = {"members": found_by_best(run.seeds)}
        if task.canaries is not None:
            found["canaries"] = found_by_best(of_canaries(whole, task))
        settings.append(_Setting(label, whole.defense.front, accuracy.measured.values, found))
    for of, parts in settings[0].found.items():
        every, *without = (_of_part(settings, of, part) for part in range(len(parts)))
        yield from leaving_out(every, without)


def _of_part(settings: Sequence[_Setting], of: str, part: int) -> Iterator[Entry]:
    """What is found of members or canaries, of all examples or where a group is left out."""
    found, examples, prefix = _FOUND[of]
    families: dict[str, list[Point]] = {}
    for one in settings:
        point = Point(one.accuracy, one.found[of][part])
        yield entry(found, point.found, setting=one.label)
        families.setdefault(one.front, []).append(point)
    yield from contests(families, examples)
    yield from _compared(families, prefix)
    if of == "members":
        yield from _lines(families)


def _lines(families: Families) -> Iterator[Entry]:
    """The fronts as they are drawn."""
    for name, own in families.items():
        reach = [point.accuracy.mean() for point in own]
        for at in np.linspace(min(reach), max(reach), _GRID if len(own) > 1 else 1).tolist():
            yield entry("line", front(own, at), front=name, along=at)


def _compared(families: Families, prefix: str) -> Iterator[Entry]:
    """All families at a few accuracies, to the first that every setting keeps in every seed."""
    points = [point for of_family in families.values() for point in of_family]
    best = np.floor(200 * max(point.accuracy.mean() for point in points)) / 200  # in half points
    least = min(point.accuracy.min() for point in points)
    accuracies = [round(best - loss, 3) for loss in LOSSES if loss < best]
    for at in accuracies[: 1 + sum(at > least for at in accuracies)]:
        for name, family in placed(families, at).items():
            keys = {"front": name, "accuracy": at}
            yield entry(f"{prefix}front", family.found, **keys)
            yield entry(f"{prefix}front_difference", family.difference, **keys)


def contests(families: Families, examples: str) -> Iterator[Entry]:
    """What the claims ask: a family against those that it should beat, see `RIVALS`.

    Args:
        examples: Of which the points say what is found: ordinary or canaries.
    """
    for name, against in RIVALS.items():
        rivals = [point for rival in against for point in families.get(rival, ())]
        if name not in families or not rivals:
            continue
        keys = {"contest": name, "examples": examples}
        held = contest(families[name], rivals)
        yield entry("accuracy_of_both", held.accuracy, **keys)
        yield entry("level_of_both", held.level, **keys)
        for side, found, kept in zip(SIDES, held.found, held.kept):
            yield entry("found_at_accuracy", found, side=side, **keys)
            yield entry("accuracy_at_level", kept, side=side, **keys)


def _one_run(predicted: Sequence[OneRun], label: str) -> Iterator[Entry]:
    """What one run predicts in each seed, unknown where it refuses to, and what that took."""
    for name, values in {
        "one_run_auc": [one.auc for one in predicted],
        "one_run_tpr_at_1pct": [one.tpr_at_1pct for one in predicted],
    }.items():
        yield entry(name, values, defense=label)
    yield entry("one_run_seconds", [one.seconds for one in predicted], "s", defense=label)


def _classes(task: Task, run: DefenseRun) -> Iterator[Entry]:
    """Accuracy by class; the worst of each seed, and the index of the one that is worst on mean."""
    label = run.defense.label
    by_class = np.stack([class_accuracy(task, of_seed) for of_seed in run.seeds])
    yield entry("worst_class_accuracy", by_class.min(axis=1), defense=label)
    yield entry("worst_class", np.argmin(by_class.mean(axis=0)), defense=label)
    for name, column in zip(task.class_names, by_class.T):
        yield entry("class_accuracy", column, defense=label, **{"class": name})


def _by_mu(plain: DefenseRun) -> Iterator[Entry]:
    """What LiRA reaches on single examples of plain SGD, by decile of their μ over all seeds."""
    mu = pooled_mu(plain.seeds)
    bins = quantile_bins(mu)
    for decile in range(1, bins.max() + 2):
        inside = bins == decile - 1
        yield entry("median_mu", np.median(mu[inside]), mu_decile=decile)
        auc = [pooled_auc([run])[inside].mean() for run in plain.seeds]
        yield entry("auc_per_example", auc, mu_decile=decile)
