"""The numbers of the study of control: every method's settings, and its frontier."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from experiments.framework.results import Entry, Results, entry
from experiments.jobs.control.frontier import Point, at_equal_accuracy
from experiments.jobs.control.measure import Plan
from experiments.jobs.control.options import REFERENCE
from experiments.membership.analysis import defense_entries, kept_entries
from experiments.membership.canaries import canary_entries, ordinary
from experiments.membership.runs import DefenseRun

LEFT_OUT = f"{REFERENCE}, removed left out"
DRAWN = 3  # frontiers are drawn up to so many times the largest named loss of accuracy
_GRID = 40  # points of a drawn frontier


def analyze(plan: Plan, runs: Sequence[DefenseRun]) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: defense, attack and kept, see `experiments.membership.analysis`; method, a family of
    defenses or `LEFT_OUT`; lost, the accuracy given up against plain SGD. `tpr_at_1pct` of a method
    is that at a named loss of accuracy, `frontier` that along the drawn line; neither is given
    where the settings do not reach the loss in every seed.
    """
    for run in runs:
        yield from canary_entries(run, plan.task)
    runs = [ordinary(run, plan.task) for run in runs]
    measured = Results(
        found
        for run in runs
        for entries in (defense_entries(run), kept_entries(run, []) if run.defense.removes else ())
        for found in entries
    )
    yield from measured.entries
    drops = plan.options.drops
    plain, methods = _point(measured, runs[0]), _methods(measured, runs[1:])
    for run in runs[1:]:
        lost = plain.accuracy - _point(measured, run).accuracy
        yield entry("accuracy_lost", lost, defense=run.defense.label)
    grid = np.linspace(0, DRAWN * max(drops), _GRID).tolist()
    for name, losses in (("frontier", grid), ("tpr_at_1pct", drops)):
        for method, settings in methods.items():
            for lost, rate in zip(losses, at_equal_accuracy(plain, settings, losses)):
                if rate is not None:
                    yield entry(name, rate, method=method, lost=lost)


def _methods(measured: Results, runs: Sequence[DefenseRun]) -> Mapping[str, list[Point]]:
    """The settings of each method, as points of its frontier."""
    points: dict[str, list[Point]] = {}
    for run in runs:
        points.setdefault(run.defense.family, []).append(_point(measured, run))
    removing = [run for run in runs if run.defense.family == REFERENCE]
    return {**points, LEFT_OUT: [_point(measured, run, kept="own") for run in removing]}


def _point(measured: Results, run: DefenseRun, **kept: str) -> Point:
    row = measured.where(defense=run.defense.label)
    success = row.get("tpr_at_1pct", attack="best", **kept)
    return Point(row.get("test_accuracy").values, success.values)
