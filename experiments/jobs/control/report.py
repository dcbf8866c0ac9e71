"""What the study of control shows: tables and a figure; their words are in `report.html.jinja`."""

from collections.abc import Sequence

from experiments.framework.results import Results
from experiments.jobs.control.analysis import DRAWN, LEFT_OUT
from experiments.jobs.control.claims import RULE
from experiments.jobs.control.measure import Plan
from experiments.jobs.control.options import REFERENCE
from experiments.membership.analysis import STRONGEST
from experiments.membership.attacks import ATTACKS
from experiments.membership.defenses import methods
from experiments.membership.runs import DefenseRun
from experiments.membership.tables import canaries_table, recipes_table
from experiments.report import figures
from experiments.report.formats import number, percent, points
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate

_BEST = {"attack": "best"}
_TITLES = {REFERENCE: "censoring", LEFT_OUT: "censoring, removed left out"}


def report(plan: Plan, runs: Sequence[DefenseRun], results: Results) -> Report:
    """Tables, figure and their page."""
    drops = plan.options.drops
    frontiers = figures.frontiers(_lines(runs, results), 0.01, DRAWN * max(drops))
    return Report(
        __file__,
        tables={
            "equal": _equal_table(results, drops),
            "settings": _settings_table(results),
            "recipes": recipes_table(runs),
            "canaries": canaries_table(results),
        },
        figures={
            "frontiers": Picture(
                frontiers, "Members found over the accuracy given up, one panel per method"
            )
        },
        terminal=("equal", "claims"),
        claims_note=RULE,
        words={"options": plan.options, "task": plan.task, "book": plan.book},
    )


def _equal_table(results: Results, drops: Sequence[float]) -> Table:
    columns = [
        Column(f"{points(drop)} below SGD", "tpr_at_1pct", percent(2), {"lost": drop})
        for drop in drops
    ]
    return Table(
        "Members found at 1 % false positives, at equal accuracy (percent)",
        ("method", *(column.heading for column in columns)),
        [
            [_TITLES.get(method, method), *(column.cell(row) for column in columns)]
            for (method,), row in results.groups("method")
        ],
        "The attack that is best on the other seeds, interpolated between settings. – where the "
        "settings do not reach this accuracy in every seed.",
    )


def _settings_table(results: Results) -> Table:
    left_out = {**_BEST, "kept": "own"}
    attacks = {ATTACKS[attack]: {"attack": attack} for attack in STRONGEST}
    return tabulate(
        "Accuracy, and members found at 1 % and 0.1 % false positives (percent)",
        results,
        [
            KeyColumn("setting", "defense"),
            Column("accuracy", "test_accuracy", percent()),
            *(
                Column(f"{name} 1 %", "tpr_at_1pct", percent(2), keys)
                for name, keys in {**attacks, "best": _BEST}.items()
            ),
            Column("best 1 %, removed left out", "tpr_at_1pct", percent(2), left_out),
            Column("best 0.1 %", "tpr_at_01pct", percent(2), _BEST),
            Column("LiRA AUC", "auc", number(3), attacks["LiRA"]),
        ],
        "Mean ± 95 % t-interval over seeds. Best: the attack that is best on the other "
        "seeds. Guessing finds 1 % and 0.1 %.",
    )


def _lines(runs: Sequence[DefenseRun], results: Results) -> list[figures.FrontierLine]:
    """Censoring first, then every other method, with its settings."""
    families = dict.fromkeys([REFERENCE, *(run.defense.family for run in runs[1:])])
    lines = []
    for family in families:
        along = results.where(method=family).along("lost", "frontier")
        title, tint = _TITLES.get(family, family), methods()[family].color
        labels = [run.defense.label for run in runs if run.defense.family == family]
        rows = [results.where(defense=label) for label in labels]
        settings = [
            (row.get("accuracy_lost").mean, row.get("tpr_at_1pct", **_BEST).mean) for row in rows
        ]
        lines.append(
            figures.FrontierLine(
                figures.Series(title, *along, tint, "-"),
                [label.removeprefix(f"{family} ") for label in labels],
                settings,
            )
        )
    return lines
