"""The page of a sweep: its table, figures that facet by options, and what failed."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from experiments.framework.trial import Outcome, Trial, show
from experiments.jobs.sweep.directory import config
from experiments.jobs.sweep.gather import measures, values_of
from experiments.report import figures
from experiments.report.formats import significant
from experiments.report.page import Picture, Report
from experiments.report.tables import Table
from gujax.statistics import Interval, mean_interval

_MOST_COLUMNS = 16
_MOST_ROWS = 6  # of panels in a figure
_FEW_VALUES = 6  # an option with more values is not facetted by, unless that is asked for
_SEED = "seed"

Setting = tuple[Any, ...]


def report(
    trials: Sequence[Trial],
    table: pl.DataFrame,
    failed: Sequence[Outcome],
    facets: Sequence[str],
    patterns: Sequence[str],
) -> Report:
    """Results, figures that facet by options, and what failed.

    Args:
        table: Made by `gather`, one row per trial.
        facets: Options to facet by; if empty, every option with few values.
        patterns: Which numbers to show, see `gather.measures`.
    """
    names = varied(trials)
    shown = measures(table, patterns)[:_MOST_COLUMNS]
    groups = _Groups(trials, table, tuple(name for name in names if name != _SEED), shown)
    tables = {"results": _results(groups, shown, len(trials) - len(failed))}
    if failed:
        tables["failures"] = _failures(failed, names)
    return Report(
        Path(__file__).with_name("report.html.jinja"),
        tables,
        _figures(groups, shown[:_MOST_ROWS], facets),
        terminal=("results", "failures"),
        words={"job": trials[0].job, "trials": trials, "failed": failed, "names": names},
    )


def varied(trials: Sequence[Trial]) -> tuple[str, ...]:
    """Options in which the trials differ."""
    first, *others = (config(trial) for trial in trials)
    return tuple(name for name in first if any(other[name] != first[name] for other in others))


class _Groups:
    """Trials that differ only in their seed, together.

    Attributes:
        names: Options that vary, without the seed.
        rows: For each setting of these options, the interval of every measure.
        counts: Number of trials that are done, for each setting.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        table: pl.DataFrame,
        names: tuple[str, ...],
        shown: Sequence[str],
    ):
        self.names = names
        members: dict[Setting, list[int]] = {}
        for index, (trial, status) in enumerate(zip(trials, table["status"])):
            of_setting = members.setdefault(tuple(getattr(trial.options, n) for n in names), [])
            if status == "done":
                of_setting.append(index)
        columns = [values_of(table, measure) for measure in shown]
        self.counts = {setting: len(done) for setting, done in members.items()}
        self.rows = {
            setting: [_interval(column[done]) for column in columns]
            for setting, done in members.items()
        }

    def values(self, name: str) -> list[Any]:
        """The values of an option: numbers in order, others as they came."""
        values = list(dict.fromkeys(key[self.names.index(name)] for key in self.rows))
        return sorted(values) if all(map(_is_number, values)) else values


def _interval(values: pl.DataFrame) -> Interval:
    """Over seeds; of a single trial, the interval that it gives itself."""
    if len(values) == 1:
        return Interval(*(float("nan") if v is None else v for v in values.row(0)))
    return mean_interval(values["mean"].to_numpy())


def _results(groups: _Groups, shown: Sequence[str], done: int) -> Table:
    rows = [
        [*map(show, key), str(groups.counts[key]), *map(_cell, intervals)]
        for key, intervals in groups.rows.items()
    ]
    return Table(
        f"Results of {done} trials",
        [*groups.names, "trials", *(name.removeprefix("headline.") for name in shown)],
        rows,
        "Mean ± half of the 95 % t-interval over the trials of a row, which differ in their seed; "
        "of a single trial, what it states itself.",
    )


def _cell(interval: Interval) -> str:
    if np.isnan(interval.mean):
        return "–"
    if np.isnan(interval.low):
        return significant(interval.mean)
    return f"{significant(interval.mean)} ± {significant(interval.half_width, 2)}"


def _failures(failed: Sequence[Outcome], names: tuple[str, ...]) -> Table:
    rows = [[o.trial.id, o.trial.describe(names) or "–", o.reason or ""] for o in failed]
    return Table(
        "Trials that failed",
        ("trial", "options", "reason"),
        rows,
        "Tracebacks are in failures.json, all output in logs/. --resume tries them again.",
    )


def _figures(groups: _Groups, shown: Sequence[str], facets: Sequence[str]) -> dict[str, Picture]:
    """The figures, by what lies below them and what they facet by."""
    if not groups.names or not shown:
        return {}
    few = [name for name in groups.names if len(groups.values(name)) <= _FEW_VALUES]
    many = [name for name in groups.names if name not in few]
    drawn = {}
    for facet in facets or few or [groups.names[0]]:
        others = [name for name in groups.names if name != facet]
        # The longest of a grid's axes lies best; each option of a random search gets a figure.
        longest = max(others, key=lambda name: len(groups.values(name)), default=facet)
        for x in [name for name in many if name != facet] or [longest]:
            figure = _figure(groups, shown, x, facet, joined=x not in many)
            alt = f"Over {x}" if x == facet else f"Over {x}, one column for each {facet}"
            drawn[f"{x}_by_{facet}"] = Picture(figure, alt)
    return drawn


def _figure(groups: _Groups, shown: Sequence[str], x: str, facet: str, joined: bool):
    columns = [None] if x == facet else groups.values(facet)
    rest = [
        name
        for name in groups.names
        if name not in (x, facet) and len(groups.values(name)) <= _FEW_VALUES
    ]
    x_values = groups.values(x)
    numeric = all(map(_is_number, x_values))
    place = {value: value if numeric else index for index, value in enumerate(x_values)}

    def lines(measure: int, column: Any) -> list[figures.Line]:
        found = []
        for combination in itertools.product(*map(groups.values, rest)):
            wanted = dict(zip(rest, combination))
            if x != facet:
                wanted[facet] = column
            points = [
                (place[setting[x]], intervals[measure])
                for key, intervals in groups.rows.items()
                if (setting := dict(zip(groups.names, key))).items() >= wanted.items()
            ]
            points.sort(key=lambda point: point[0])
            label = ", ".join(f"{name}={show(value)}" for name, value in zip(rest, combination))
            if any(not np.isnan(interval.mean) for _, interval in points):
                found.append(figures.Line(label, *zip(*points)))
        return found

    return figures.facets(
        [[lines(measure, column) for column in columns] for measure in range(len(shown))],
        [name.removeprefix("headline.") for name in shown],
        ["" if column is None else f"{facet} = {show(column)}" for column in columns],
        x,
        None if numeric else [show(value) for value in x_values],
        joined,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
