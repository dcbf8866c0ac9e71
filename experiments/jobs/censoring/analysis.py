"""The numbers of the study of censoring, from its runs."""

from collections.abc import Iterator
from typing import Any

from experiments.framework.results import Entry, Results, entry
from experiments.jobs.censoring.measure import Plan, Runs
from experiments.membership import analysis
from experiments.membership.analysis import defense_entries, kept_entries
from experiments.membership.canaries import canary_entries, ordinary


def analyze(plan: Plan, runs: Runs) -> Iterator[Entry]:
    """Accuracy and attacks of every defense.

    Keys: dataset; defense, attack and kept, see `experiments.membership.analysis`. Removed points
    count as members where there is no key "kept".
    """
    for name, of_dataset in runs.items():
        case = plan.cases[name]
        yield entry("train_size", len(case.task.dataset.train), dataset=name)
        yield entry("test_size", len(case.task.dataset.test), dataset=name)
        yield entry("shadow_models", case.shadow_models, dataset=name)
        for run in of_dataset:
            yield from canary_entries(run, case.task, dataset=name)
        of_dataset = [ordinary(run, case.task) for run in of_dataset]
        for run in of_dataset:
            yield from defense_entries(run, dataset=name)
        others = [run for run in of_dataset if not run.defense.removes]
        for run in of_dataset:
            if run.defense.removes:
                yield from kept_entries(run, others, dataset=name)


def headline(results: Results) -> dict[str, Any]:
    """The numbers by which runs are compared, for each data set."""
    return {
        f"{name}, {what}": number
        for (name,), of_dataset in results.groups("dataset")
        for what, number in analysis.headline(of_dataset).items()
    }
