"""What the study shows: tables and a figure; their words are in `report.html.jinja`."""

from collections.abc import Mapping
from dataclasses import replace

from experiments.framework.results import Results
from experiments.jobs.calibration.claims import BIN_TOLERANCE, TOLERANCE, ridge_text
from experiments.jobs.calibration.measure import Plan, Runs
from experiments.report import figures
from experiments.report.formats import number, percent
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, KeyColumn, Table, matrix, tabulate

_DATA = KeyColumn("data", "dataset")


def report(plan: Plan, runs: Mapping[str, Runs], results: Results) -> Report:
    """Tables, the figure and their page."""
    updates, final = (results.where(attack=attack) for attack in ("updates", "final"))
    return Report(
        __file__,
        tables={
            "updates": _updates_table(updates),
            "final": _final_table(final),
            "carried": _carry_over_table(final, plan.options.dataset),
            "ridges": _ridges_table(final),
        },
        figures={"predicted_against_achieved": _figure(plan, updates, final)},
        terminal=("updates", "final", "carried", "claims"),
        claims_note=_RULE,
        words={"options": plan.options, "tasks": plan.tasks, "recipes": plan.recipes},
    )


def _updates_table(updates: Results) -> Table:
    return tabulate(
        "Attack on released sums: mean AUC per example",
        updates,
        [
            _DATA,
            KeyColumn("ridge of the added noise", "ridge", "{:g}".format),
            KeyColumn("updates seen", "every", _seen),
            Column("predicted", "predicted", number(3)),
            Column("achieved", "achieved", number(3)),
            Column("difference", "gap", number(4)),
            Column("mean |difference| of deciles", "bin_gap", number(3)),
            Column("ridge that fits if all updates are composed", "fitted_ridge", ridge_text),
        ],
        "Ridges are relative to the mean squared gradient norm of the members at each step. "
        "Predicted: μ composed over the updates that are seen and would hold the example. The last "
        "column composes over all updates instead: the ridge then has to stand for unseen updates "
        "too.",
    )


def _final_table(final: Results) -> Table:
    return tabulate(
        "Attack on the final model",
        final,
        [
            _DATA,
            Column("test accuracy (%)", "test_accuracy", percent()),
            Column("LiRA: pooled AUC", "lira_auc_pooled", number(3)),
            Column("achieved: AUC per example", "achieved", number(3)),
            Column("ridge that fits", "fitted_ridge", ridge_text),
            Column("difference with the other seeds' ridge", "gap", number(3)),
            Column("mean |difference| of deciles", "bin_gap", number(3)),
        ],
        "Achieved: LiRA's signal, the scaled confidence, of members against non-members of the "
        "same example, mean over examples; it has not the bias that LiRA's own score has with few "
        f"shadow models. Allowed: {TOLERANCE} for means, {BIN_TOLERANCE} for deciles.",
    )


def _carry_over_table(final: Results, main: str) -> Table:
    headings = {
        "new_examples": "same models, other examples",
        "new_models": "other models, same examples",
        "new_seeds": "next seed",
        "another_dataset": f"with the ridge of {main}",
    }
    return tabulate(
        "Predicted − achieved mean AUC, final model",
        final,
        [
            _DATA,
            Column("ridge fitted on half of the models and examples", "ridge_of_half", ridge_text),
            *(
                Column(words, "gap", number(3), {"carried_to": to})
                for to, words in headings.items()
            ),
        ],
    )


def _ridges_table(final: Results) -> Table:
    table = matrix(
        "Mean AUC per example that a ridge predicts, composed over all updates",
        final,
        KeyColumn("relative ridge", "ridge", "{:g}".format),
        "dataset",
        "predicted_under",
        number(3),
    )
    achieved = [number(3)(of_data.get("achieved")) for _, of_data in final.groups("dataset")]
    return replace(table, rows=[*table.rows, ["achieved", *achieved]])


def _figure(plan: Plan, updates: Results, final: Results) -> Picture:
    main, ridges = updates.where(dataset=plan.options.dataset), plan.options.ridges
    middle = ridges[len(ridges) // 2]
    seen = [_points(f"ridge {r:g}", main.where(ridge=r, every=1)) for r in ridges]
    some = [_points(_seen(k), main.where(ridge=middle, every=k)) for k in plan.options.every]
    last = [
        _points(f"{name}, ridge {ridge_text(row.get('fitted_ridge')).split(' ')[0]}", row)
        for (name,), row in final.groups("dataset")
    ]
    panels = {
        "sees every update": seen,
        f"sees some updates (ridge {middle:g})": some,
        "sees the final model (fitted ridge)": last,
    }
    return Picture(
        figures.agreement(panels, "predicted AUC, mean of decile", "achieved AUC"),
        "Achieved against predicted AUC for three attackers, with the identity",
    )


def _seen(every: int) -> str:
    return "every update" if every == 1 else f"one update in {every}"


def _points(label: str, attack: Results) -> figures.Series:
    _, predicted = attack.along("decile", "predicted")
    _, achieved = attack.along("decile", "achieved")
    return figures.Series(label, [interval.mean for interval in predicted], achieved)


_RULE = (
    "A claim is judged by how far the difference of each seed stays within what is allowed. "
    "Verdicts follow from 95 % t-intervals of that: reproduced if all lie above 0, partly if some "
    "do, contradicted if one lies below, not told apart if all include 0. Where a seed has no "
    "ridge that fits, nothing is tested."
)
