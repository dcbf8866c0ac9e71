"""What the study shows: tables and figures; their words are in `report.html.jinja`."""

from collections.abc import Sequence
from typing import Any

from experiments.framework.results import Measured, Results
from experiments.jobs.monotone.analysis import STRATA, explains, has_arms
from experiments.jobs.monotone.examples import PER_EXAMPLE, SUCCESS, VARIABLES
from experiments.jobs.monotone.measure import Plan, Study
from experiments.membership.analysis import NUM_BINS
from experiments.report import figures, style
from experiments.report.formats import Format, number, percent, plain, significant
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate

_WORDS = {
    "gradient_norm": "gradient norm",
    "member_loss": "member loss",
    "held_out_loss": "held-out loss",
}
_ESTIMATOR = KeyColumn("measure", "estimator")
_TINTS = (style.SKY, style.BLUE, style.BLACK)  # of strata, from low to high
_DECILES = range(1, NUM_BINS + 1)


def report(plan: Plan, study: Study, results: Results) -> Report:
    """Tables, figures and their page."""
    # The measures that are looked at closely.
    profiled = [plan.first("exact"), plan.first("diagonal")]
    lira = results.where(success="lira_auc")
    return Report(
        __file__,
        tables={
            "main": _main_table(lira),
            "arms": _arms_table(results),
            "strata": _strata_table(lira),
            **{f"profile {label}": _profile_table(results, label) for label in profiled},
        },
        figures={
            "attack_by_uniqueness": _by_uniqueness(plan, lira),
            "attack_within_strata": _within_strata(profiled, lira),
        },
        terminal=("main", "claims"),
        words={
            "options": plan.options,
            "task": plan.task,
            "recipe": plan.recipe,
            "results": results,
            "curves": curves(results),
        },
    )


def _main_table(lira: Results) -> Table:
    return tabulate(
        "LiRA's AUC per example over deciles of uniqueness",
        lira,
        [
            _ESTIMATOR,
            Column("Spearman", "spearman", number(3)),
            Column("first decile", "reached", number(3), {"decile": 1}),
            Column("lowest between", "lowest_between", number(3)),
            Column("last decile", "reached", number(3), {"decile": NUM_BINS}),
            Column("left arm", "left_arm", number(3)),
            Column("right arm", "right_arm", number(3)),
            Column("non-decreasing (%)", "isotonic", percent(0)),
        ],
        "Ridges are relative to the mean squared gradient norm. Arms: first and last decile above "
        "the lowest one in between, which is looked up in the other seeds, so that a curve without "
        "a U has no left arm above 0. Non-decreasing: share of the variance between deciles that "
        "the best non-decreasing curve explains.",
    )


def _arms_table(results: Results) -> Table:
    rows = [
        [label, *(_left_arm(curve) for _, curve in of_estimator.groups("success"))]
        for (label,), of_estimator in results.groups("estimator")
    ]
    return Table(
        "First decile above the lowest in between, by what is called success",
        ("measure", *SUCCESS.values()),
        rows,
        "U: both arms lie above 0 by their intervals. Right guesses and members found are at the "
        "threshold of best balanced accuracy, one for all examples.",
    )


def _left_arm(curve: Results) -> str:
    return number(3)(curve.get("left_arm")) + (" U" if has_arms(curve) else "")


def _strata_table(lira: Results) -> Table:
    places: list[tuple[str, dict[str, str]]] = [("", {})]
    places += [(f" within thirds of {_WORDS[name]}", {"within": name}) for name in VARIABLES]
    return tabulate(
        "Left arm and Spearman of LiRA's AUC, overall and within strata",
        lira,
        [
            _ESTIMATOR,
            *(
                Column(f"{what}{where}", measure, show, keys)
                for where, keys in places
                for what, measure, show in (
                    ("left arm", "left_arm", number(3)),
                    ("Spearman", "spearman", number(2)),
                )
            ),
        ],
        f"Examples are cut into {len(STRATA)} equal strata of the other variable, then into "
        "deciles of the measure within each; the mean over strata is shown.",
    )


def _profile_table(results: Results, label: str) -> Table:
    of_estimator = results.where(estimator=label)

    def row(what: str, measure: str, show: Format, **keys: str) -> list[str]:
        return [what, *(show(of_estimator.get(measure, **keys, decile=d)) for d in _DECILES)]

    rows = [row("mean of the measure", "uniqueness", _short)]
    rows += [row(SUCCESS[name], "reached", plain(".3f"), success=name) for name in SUCCESS]
    rows += [row(VARIABLES[name], name, _short) for name in VARIABLES]
    rows.append(row("share of held-out models with p(label) < 1/2", "doubted", _short))
    columns = ("mean over the decile", *map(str, _DECILES))
    return Table(f"The deciles of: {label}", columns, rows)


def _short(measured: Measured) -> str:
    return significant(measured.mean)


def curves(results: Results) -> list[dict[str, Any]]:
    """Every curve of success over uniqueness, for the template: is it a U, and what removes it?"""
    return [
        {
            "name": name,
            "success": SUCCESS[name],
            "per_example": name in PER_EXAMPLE,
            "estimator": label,
            "is_u": has_arms(curve),
            "left_arm": curve.get("left_arm").interval,
            "removed_by": [VARIABLES[v] for (v,), part in curve.groups("within") if explains(part)],
        }
        for name in SUCCESS
        for (label,), curve in results.where(success=name).groups("estimator")
    ]


def _by_uniqueness(plan: Plan, lira: Results) -> Picture:
    lines = []
    for estimator in plan.estimators:
        curve = lira.where(estimator=estimator.label)
        title = f"{estimator.label}\nSpearman {number(2)(curve.get('spearman'))}"
        lines.append(figures.Series(title, *curve.along("decile", "reached"), estimator.kind))
    return Picture(
        figures.attack_by_uniqueness(lines, 0.5, "decile of the measure (10: most unique)"),
        "Attack success over deciles of each measure of uniqueness",
    )


def _within_strata(profiled: Sequence[str], lira: Results) -> Picture:
    def panel(label: str, name: str) -> figures.LinePanel:
        within = lira.where(estimator=label, within=name)
        lines = [
            figures.Series(stratum, *within.along("decile", "reached", stratum=stratum), tint)
            for stratum, tint in zip(STRATA, _TINTS)
        ]
        return figures.LinePanel(f"{label}\nby {_WORDS[name]}", lines)

    figure = figures.line_panels(
        [[panel(label, name) for name in VARIABLES] for label in profiled],
        "decile of the measure within the third",
        "LiRA: AUC per example, mean of bin",
        reference=0.5,
        share_y=True,
        legend_title="examples in the … of the other variable",
    )
    return Picture(figure, "Attack success over uniqueness within thirds of gradient norm and loss")
