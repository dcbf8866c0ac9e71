"""The page of a sweep: its table, figures that facet by options, and what failed."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from experiments.framework.claims import Claim
from experiments.framework.job import HEADLINE
from experiments.framework.trial import Outcome, Trial, show
from experiments.jobs.sweep.directory import config
from experiments.jobs.sweep.gather import measures, values_of
from experiments.jobs.sweep.pooling import Contrast, Setting
from experiments.report import figures
from experiments.report.figures import ForestPanel, ForestRow
from experiments.report.formats import UNKNOWN, signed, significant
from experiments.report.page import VERDICTS, Picture, Report
from experiments.report.tables import Table
from gujax.statistics import Interval, mean_interval

_MOST_COLUMNS = 16
_MOST_ROWS = 6  # of panels in a figure
_FEW_VALUES = 6  # an option with more values is not facetted by, unless that is asked for
_SEED = "seed"
_HEADINGS = {"dataset": "data set", "datasets": "data sets", "model": "network"}
_POOLED = (
    "An effect is judged over settings, each of which counts the same: mean of the settings' means "
    "and its 95 % t-interval. Settings that share the value of an option are no independent draws: "
    "where three or more values are shared, the means by value are taken as the draws too, and the "
    "widest interval counts. The sign test takes settings as independent. "
)


def report(
    trials: Sequence[Trial],
    table: pl.DataFrame,
    failed: Sequence[Outcome],
    facets: Sequence[str],
    patterns: Sequence[str],
    contrasts: Sequence[Contrast],
    claims: Sequence[Claim],
    called: Mapping[str, str],
) -> Report:
    """Claims over all settings, results, figures that facet by options, and what failed.

    Args:
        table: Made by `gather`, one row per trial.
        facets: Options to facet by; if empty, every option with few values.
        patterns: Which numbers to show, see `gather.measures`.
        contrasts: Effects of the claims, by the settings of `telling`.
        claims: Judged over all settings.
        called: What the job's reports call its measures.
    """
    names = varied(trials)
    shown = measures(table, patterns, claims)[:_MOST_COLUMNS]
    groups = _Groups(trials, table, telling(trials, facets), shown)
    headings = [readable(name, called) for name in shown]
    of_claims = {claim.key: [c for c in contrasts if c.claim.key == claim.key] for claim in claims}
    by_setting = {f"claim-{key}": _settings(groups, of) for key, of in of_claims.items()}
    tables = {"pooled": _pooled(groups, contrasts), **by_setting} if claims else {}
    if shown or not claims:
        tables["results"] = _results(groups, headings, len(trials) - len(failed))
    if failed:
        tables["failures"] = _failures(failed, names)
    forests = {f"claim-{key}": _forest(groups, of) for key, of in of_claims.items()}
    return Report(
        __file__,
        tables,
        {**_figures(groups, shown[:_MOST_ROWS], headings, facets), **forests},
        terminal=("claims", "results", "failures"),
        claims=claims,
        claims_note=_POOLED + VERDICTS.replace("over seeds ", ""),
        words={
            "job": trials[0].job,
            "trials": trials,
            "failed": failed,
            "names": names,
            "claims": claims,
            "forests": list(forests),
        },
    )


def telling(trials: Sequence[Trial], kept: Sequence[str] = ()) -> tuple[str, ...]:
    """Options that tell settings apart, without the seed.

    An option that follows from another one, as the attribute from the data set, is left out unless
    it is to be `kept`; one of which every setting has a value of its own says nothing of others.
    """
    names = [name for name in varied(trials) if name != _SEED]
    settings = list(dict.fromkeys(tuple(getattr(t.options, n) for n in names) for t in trials))
    columns = dict(zip(names, zip(*settings)))
    left: list[str] = []
    for name in names:
        follows = any(
            len(set(columns[other])) < len(settings)
            and len(set(zip(columns[other], columns[name]))) == len(set(columns[other]))
            for other in left
        )
        if name in kept or not follows:
            left.append(name)
    return tuple(left)


def readable(name: str, called: Mapping[str, str]) -> str:
    """A number's dotted path as the job's reports call it: what it is of, then its heading."""
    if name.startswith(f"{HEADLINE}."):
        return name.removeprefix(f"{HEADLINE}.")
    keys, _, measure = name.rpartition(".")
    heading = called.get(measure, measure.replace("_", " "))
    return heading if keys in ("", "summary") else f"{keys.replace('.', ', ')}: {heading}"


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

    @property
    def ordered(self) -> list[Setting]:
        """Settings in the order of their options' values, as `values` has them."""
        places = [
            {value: place for place, value in enumerate(self.values(name))} for name in self.names
        ]
        return sorted(self.rows, key=lambda key: [of[value] for of, value in zip(places, key)])

    def values(self, name: str) -> list[Any]:
        """The values of an option: numbers in order, others as they came."""
        values = list(dict.fromkeys(key[self.names.index(name)] for key in self.rows))
        return sorted(values) if all(map(_is_number, values)) else values


def _interval(values: pl.DataFrame) -> Interval:
    """Over seeds; of a single trial, the interval that it gives itself."""
    if len(values) == 1:
        return Interval(*(float("nan") if v is None else v for v in values.row(0)))
    return mean_interval(values["mean"].to_numpy())


def _results(groups: _Groups, headings: Sequence[str], done: int) -> Table:
    rows = [
        [*map(show, key), str(groups.counts[key]), *map(_cell, intervals)]
        for key, intervals in groups.rows.items()
    ]
    return Table(
        f"Results of {done} trials",
        [*map(_option, groups.names), "trials", *headings],
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


def _option(name: str) -> str:
    """An option as a heading."""
    return _HEADINGS.get(name, name.replace("_", " "))


def _settings(groups: _Groups, contrasts: Sequence[Contrast]) -> Table:
    """The effects of one claim in every setting, and over all."""
    rows = [
        [*map(show, key), *(_effect(contrast.settings.get(key)) for contrast in contrasts)]
        for key in groups.ordered
        if any(key in contrast.settings for contrast in contrasts)
    ]
    blank = [""] * (len(groups.names) - 1)
    rows.append(["all", *blank, *(_effect(contrast.pooled()) for contrast in contrasts)])
    statement = contrasts[0].claim.statement
    return Table(
        statement.rstrip("."),
        [*map(_option, groups.names), *(contrast.name for contrast in contrasts)],
        rows,
        "Mean and 95 % interval of each contrast, positive where the claim holds; ▲ or ▼ where the "
        "interval lies clear of zero. Of measures on a logarithmic scale, decades.",
    )


def _effect(interval: Interval | None) -> str:
    """An effect with its interval, and its sign where that is beyond doubt."""
    if interval is None:
        return UNKNOWN
    mean, low, high = (f"{value:+.3f}" for value in interval)
    if interval.low != interval.low:
        return mean
    sign = "▲ " if interval.low > 0 else "▼ " if interval.high < 0 else ""
    return f"{sign}{mean} [{low}, {high}]"


def _pooled(groups: _Groups, contrasts: Sequence[Contrast]) -> Table:
    """Every contrast over all settings, and its mean by the values that settings share."""
    columns = {
        (place, value): f"{_option(name)} {show(value)}"
        for place, name in enumerate(groups.names)
        for value in groups.values(name)
        if len(groups.values(name)) < len(groups.rows)
    }
    rows = []
    for contrast in contrasts:
        above, across, below = contrast.counts
        means = [contrast.by_value(place).get(value) for place, value in columns]
        rows.append(
            [
                contrast.claim.key.replace("-", " ").replace("_", " "),
                contrast.name,
                str(len(contrast.settings)),
                _effect(contrast.pooled()),
                f"{above} / {across} / {below}",
                significant(contrast.sign_test, 2),
                *(UNKNOWN if of is None else signed(f"{of.mean():.3f}") for of in means),
            ]
        )
    return Table(
        "Contrasts over all settings",
        [
            "claim",
            "contrast",
            "settings",
            "mean over settings",
            "above / includes / below zero",
            "sign test, p",
            *columns.values(),
        ],
        rows,
        _POOLED + "On the right: mean over the settings with one value of an option.",
    )


def _forest(groups: _Groups, contrasts: Sequence[Contrast]) -> Picture:
    """The effects of one claim, setting by setting."""
    rows = [key for key in groups.ordered if any(key in c.settings for c in contrasts)]
    panels = [
        ForestPanel(
            contrast.name,
            [ForestRow(", ".join(map(show, key)), contrast.settings.get(key)) for key in rows],
            contrast.pooled(),
        )
        for contrast in contrasts
    ]
    return Picture(
        figures.forest(panels),
        f"Effects by setting, with the mean over all: {contrasts[0].claim.statement}",
    )


def _failures(failed: Sequence[Outcome], names: tuple[str, ...]) -> Table:
    rows = [[o.trial.id, o.trial.describe(names) or "–", o.reason or ""] for o in failed]
    return Table(
        "Trials that failed",
        ("trial", "options", "reason"),
        rows,
        "Tracebacks are in failures.json, all output in logs/. --resume tries them again.",
    )


def _figures(
    groups: _Groups, shown: Sequence[str], headings: Sequence[str], facets: Sequence[str]
) -> dict[str, Picture]:
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
            figure = _figure(groups, headings[: len(shown)], x, facet, joined=x not in many)
            over, each = _option(x), _option(facet)
            alt = f"Over {over}" if x == facet else f"Over {over}, one column for each {each}"
            drawn[f"{x}_by_{facet}"] = Picture(figure, alt)
    return drawn


def _figure(groups: _Groups, headings: Sequence[str], x: str, facet: str, joined: bool):
    columns = [None] if x == facet else groups.values(facet)
    rest = [
        name
        for name in groups.names
        if name not in (x, facet) and len(groups.values(name)) <= _FEW_VALUES
    ]
    x_values = groups.values(x)
    numeric = all(map(_is_number, x_values))
    place = {value: value if numeric else index for index, value in enumerate(x_values)}

    def lines(measure: int, column: Any) -> list[figures.Series]:
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
            label = ", ".join(
                f"{_option(name)} = {show(value)}" for name, value in zip(rest, combination)
            )
            if any(not np.isnan(interval.mean) for _, interval in points):
                found.append(figures.Series(label, *zip(*points)))
        return found

    return figures.facets(
        [[lines(measure, column) for column in columns] for measure in range(len(headings))],
        headings,
        ["" if column is None else f"{_option(facet)} = {show(column)}" for column in columns],
        _option(x),
        None if numeric else [show(value) for value in x_values],
        joined,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
