"""What the study shows: tables and a figure; their words are in `report.html.jinja`."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from experiments.framework.results import Measured, Results
from experiments.jobs.prediction.claims import (
    FACTOR,
    NEAR,
    RIVALS,
    auc_error,
    better_by,
    median,
    refused,
    tpr_ratio,
)
from experiments.jobs.prediction.measure import Plan, Run
from experiments.jobs.prediction.settings import SETTINGS
from experiments.report import figures, style
from experiments.report.formats import (
    UNKNOWN,
    format_interval,
    number,
    percent,
    plain,
    significant,
)
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, Columns, KeyColumn, Table, tabulate
from gujax.statistics import Interval

_MEASURES = (("AUC", "auc", number(3)), ("TPR at 1 %", "tpr_at_1pct", percent()))
_WORDS = {"prediction": "this prediction", **RIVALS}
_ROLES = {"judged": style.VERMILION, "development": style.BLUE}


def report(plan: Plan, runs: Mapping[str, Run], results: Results) -> Report:
    """Tables, the figure and their page."""
    judged = [row for _, row in results.where(role="judged").groups("setting")]
    predicted = [row for row in judged if not refused(row)]
    return Report(
        __file__,
        tables={
            "level": level_table(results),
            "low_fpr": low_fpr_table(results),
            "rivals": rivals_table(predicted),
            "refusals": refusals_table(plan, runs),
            "settings": settings_table(plan, results),
            **{
                _table_name(name): setting_table(name, row.where(role=SETTINGS[name].role))
                for (name,), row in results.groups("setting")
            },
        },
        figures={"predicted_against_achieved": _figure(results)},
        terminal=("level", "rivals", "claims"),
        claims_note=_RULE,
        words={
            "options": plan.options,
            "judged": len(judged),
            "predicted": len(predicted),
            "of_settings": [_table_name(trainer.setting.name) for trainer in plan.trainers],
        },
    )


def _table_name(setting: str) -> str:
    return f"setting {setting}"


_PLACE = (KeyColumn("setting", "setting"), KeyColumn("used for", "role"))


def level_table(results: Results) -> Table:
    """The pooled AUC of every setting."""
    return tabulate(
        "Pooled AUC: predicted from one model and its reruns, and achieved",
        results,
        [
            *_PLACE,
            Column("predicted", "auc", number(3), {"method": "prediction"}),
            Column("LiRA", "auc", number(3), {"method": "LiRA"}),
            Column("RMIA", "auc", number(3), {"method": "RMIA"}),
            Column("predicted − LiRA", auc_error, number(3)),
            Column("measured d and s", "auc", number(3), {"method": "measured d and s"}),
            Column("all shifts equal the gap", "auc", number(3), {"method": "gap alone"}),
            Column("refused (%)", "refused", plain(".0f", 100), {"method": "prediction"}),
        ],
        "± of predictions: t-interval over targets; of attacks: over groups of models. Refused: "
        "share of the targets for which the card makes no prediction.",
    )


def low_fpr_table(results: Results) -> Table:
    """TPR at low FPR of every setting."""
    shown = [("predicted", "prediction"), ("LiRA", "LiRA"), ("measured d and s",) * 2]
    return tabulate(
        "True positives at few false positives (percent)",
        results,
        [
            *_PLACE,
            *(
                Column(f"at {at} %: {name}", measure, percent(), {"method": method})
                for at, measure in (("1", "tpr_at_1pct"), ("0.1", "tpr_at_01pct"))
                for name, method in shown
            ),
            Column("predicted / measured d and s, at 1 %", tpr_ratio, number(2)),
            Column("at 1 %: tail of the losses", "tpr_at_1pct", percent(), {"method": "tail"}),
            Column("at 1 %: gap alone", "tpr_at_1pct", percent(), {"method": "gap alone"}),
        ],
        "Measured d and s: the best attack if every example's shift and the deviation were known "
        "exactly; LiRA with few shadow models stays below it. Tail of the losses: share of "
        "held-out examples with a larger loss than all but 1 % of the members (arXiv 2510.19773). "
        "Gap alone: every shift is the mean one.",
    )


def rivals_table(predicted: Sequence[Results]) -> Table:
    """Every method's ranking over the judged settings that have a prediction."""
    found = np.array(
        [[row.get("spearman", method=name).mean for name in _WORDS] for row in predicted]
    ).reshape(len(predicted), len(_WORDS))
    ranks = stats.rankdata(-found, axis=1) if len(found) else found
    rows = []
    for index, (name, words) in enumerate(_WORDS.items()):

        def middle(measure: str, name: str = name) -> Interval:
            return median([row.get(measure, method=name).mean for row in predicted])

        better = (
            "" if name == "prediction" else format_interval(better_by(name, predicted), digits=2)
        )
        rows.append(
            (
                float(np.median(ranks[:, index])) if len(ranks) else np.inf,
                [
                    words,
                    f"{np.median(ranks[:, index]):g}" if len(ranks) else UNKNOWN,
                    format_interval(middle("spearman"), digits=2),
                    better,
                    format_interval(middle("top_1pct"), percent=True, digits=0),
                    format_interval(middle("top_5pct"), percent=True, digits=0),
                    f"{middle('trainings').mean:g}" if len(ranks) else UNKNOWN,
                    significant(middle("seconds").mean, 2) if len(ranks) else UNKNOWN,
                ],
            )
        )
    return Table(
        "Who orders the members of a model by exposure: judged settings with a prediction",
        (
            "method",
            "median rank",
            "Spearman with the measured shift",
            "this prediction is better by",
            "of the top 1 % found (%)",
            "of the top 5 % found (%)",
            "trainings",
            "seconds",
        ),
        [cells for _, cells in sorted(rows, key=lambda row: row[0])],
        "Medians over settings; ± half of the 95 % bootstrap interval over settings. Trainings and "
        "seconds for one published model, beyond its own training; the models of a setting are "
        "trained together, which makes each cheaper than alone.",
    )


def refusals_table(plan: Plan, runs: Mapping[str, Run]) -> Table:
    """Every cause for which there is no prediction, and what else the cards warn of."""
    rows = []
    for trainer in plan.trainers:
        name, run = trainer.setting.name, runs[trainer.setting.name]
        for kind, texts in (
            ("refused", run.predicted.refusal),
            ("warning", run.predicted.warnings),
        ):
            told = [str(text) for text in texts if text]
            if told:
                count = f"{len(told)} of {len(run.targets)}"
                rows.append([name, trainer.setting.role, kind, count, told[0]])
    return Table(
        "Where the card makes no prediction, and what it warns of",
        ("setting", "used for", "what", "targets", "in the words of the card (first target)"),
        rows,
    )


def settings_table(plan: Plan, results: Results) -> Table:
    """What was trained."""
    of = {trainer.setting.name: trainer for trainer in plan.trainers}
    columns: Columns = [
        KeyColumn("setting", "setting"),
        KeyColumn("used for", "role"),
        KeyColumn("data", "setting", lambda name: of[name].setting.dataset),
        KeyColumn("pool", "setting", lambda name: str(len(of[name].pool))),
        KeyColumn("model", "setting", lambda name: of[name].task.model_name),
        KeyColumn("training", "setting", lambda name: of[name].setting.training),
        Column("test accuracy (%)", "test_accuracy", percent()),
        Column("reliability of measured shifts", "reliability", number(2)),
    ]
    return tabulate(
        "Settings",
        results,
        columns,
        "Half of the pool are members of each model. Reliability: Spearman correlation of the "
        "shifts that two halves of the models measure: where it is small, so is that of any "
        "ranking with them.",
    )


def setting_table(name: str, of_setting: Results) -> Table:
    """Everything about one setting."""
    return tabulate(
        f"{name} ({SETTINGS[name].role})",
        of_setting,
        [
            KeyColumn("method", "method", lambda method: _WORDS.get(method, method)),
            *(Column(heading, measure, show) for heading, measure, show in _MEASURES),
            Column("TPR at 0.1 %", "tpr_at_01pct", percent()),
            Column("Spearman", "spearman", number(2)),
            Column("of the top 1 % (%)", "top_1pct", plain(".0f", 100)),
            Column("of the top 5 % (%)", "top_5pct", plain(".0f", 100)),
            Column("s (nats)", "deviation", number(2)),
            Column("mean d (nats)", "shift", number(2)),
            Column("trainings", "trainings", plain("g")),
            Column("seconds", "seconds", plain(".2g")),
        ],
    )


def _figure(results: Results) -> Picture:
    panels = [
        figures.PredictedPanel(
            "pooled AUC", _groups(results, "auc", "LiRA"), logarithmic=False, allowed=NEAR
        ),
        figures.PredictedPanel(
            "TPR at 1 % FPR",
            _groups(results, "tpr_at_1pct", "measured d and s"),
            logarithmic=True,
            allowed=FACTOR,
        ),
    ]
    return Picture(
        figures.predicted_attacks(
            panels, "achieved: LiRA (left), measured d and s (right)", "predicted"
        ),
        "Predicted against achieved AUC and TPR, one point per setting, with the identity",
    )


def _groups(results: Results, measure: str, achieved: str):
    groups = []
    for role, color in _ROLES.items():
        known = [row for _, row in results.where(role=role).groups("setting") if not refused(row)]
        if known:
            reached = [row.get(measure, method=achieved).interval for row in known]
            groups.append((role, color, reached, [_predicted(row, measure) for row in known]))
    return groups


def _predicted(of_setting: Results, measure: str) -> Interval:
    """Mean over targets, with the mean ends of the intervals on their cards."""

    def mean(suffix: str) -> float:
        found: Measured = of_setting.get(f"{measure}{suffix}", method="prediction")
        return found.mean

    return Interval(mean(""), mean("_low"), mean("_high"))


_RULE = (
    "On judged settings alone. Shares of settings have Wilson's 95 % intervals; a refusal counts "
    "as a miss in the second effect of each share. Rankings: median over settings of paired "
    "differences, bootstrap intervals over settings, one effect per rival. Reproduced if all "
    "intervals lie on the claim's side of 0, partly if some do, contradicted if one lies on the "
    "other side, not told apart if all include 0."
)
