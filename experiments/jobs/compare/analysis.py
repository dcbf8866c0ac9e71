"""The numbers of the comparison, from its runs."""

from collections.abc import Iterator

import numpy as np

from experiments.framework.results import Entry, entry
from experiments.jobs.compare.measure import Compared, Plan
from experiments.membership.analysis import (
    class_accuracy,
    decile_entries,
    defense_entries,
    kept_entries,
    nats_per_example,
    pooled_auc,
    pooled_mu,
    prediction_entries,
    quantile_bins,
)
from experiments.membership.runs import DefenseRun
from experiments.tasks.task import Task


def analyze(plan: Plan, compared: Compared) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: defense; attack ("lira", "rmia", "loss", "best" of the first two); kept, see
    `experiments.membership.analysis.kept_entries`; class; decile, of the nats that an example
    accumulates in plain SGD, per seed, mean over the models that were given it; mu_decile, of μ in
    plain SGD; relative_ridge, of plain SGD's first seed; model and step, of what was timed.
    """
    plain = compared.defenses[0]
    nats = [nats_per_example(run) for run in plain.seeds]
    bins = [quantile_bins(of_seed) for of_seed in nats]
    for run in compared.defenses:
        label = run.defense.label
        yield from defense_entries(run)
        yield from _classes(plan.task, run)
        auc = [pooled_auc([of_seed]) for of_seed in run.seeds]
        yield from decile_entries("auc_per_example", auc, bins, defense=label)
        yield from prediction_entries(run.seeds, defense=label)
        if run.defense.removes:
            # The same points under the plain attack: the difference is what removal did to them.
            yield from kept_entries(run, [plain])
    yield from decile_entries("nats", nats, bins)
    yield from _by_mu(plain)
    for ridge, first in sorted(compared.ridges.items()):
        disclosed = nats_per_example(first)
        yield entry("median_nats", np.median(disclosed), "nats", relative_ridge=ridge)
        yield entry("max_nats", np.max(disclosed), "nats", relative_ridge=ridge)
        yield from prediction_entries([first], relative_ridge=ridge)
    for model, steps in compared.costs.items():
        for step, cost in steps.items():
            yield entry("milliseconds", cost.milliseconds, "ms", model=model, step=step)
            yield entry("relative", cost.relative, model=model, step=step)
            yield entry("memory_mib", cost.memory_mib, "MiB", model=model, step=step)


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
