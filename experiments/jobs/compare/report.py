"""What the comparison shows: tables and figures; their words are in `report.html.jinja`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.framework.results import Results
from experiments.jobs.compare.checklist import checklist
from experiments.jobs.compare.claims import RULE
from experiments.jobs.compare.measure import Compared, Plan
from experiments.membership.analysis import NUM_BINS, between, pooled_auc, pooled_mu
from experiments.membership.attacks import ATTACKS
from experiments.membership.canaries import ordinary
from experiments.membership.defenses import Defense
from experiments.membership.fronts import standing
from experiments.membership.one_run import refused
from experiments.membership.runs import DefenseRun
from experiments.membership.tables import (
    attack_name,
    best_of,
    canaries_table,
    of_removing,
    privacy_table,
    range_of,
    recipes_table,
)
from experiments.report import figures, style
from experiments.report.formats import (
    UNKNOWN,
    format_interval,
    number,
    percent,
    plain,
    share,
)
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, Columns, KeyColumn, Table, matrix, tabulate
from gujax.attacks.membership import evaluate_attack
from gujax.uniqueness import predicted_auc

_DEFENSE = KeyColumn("defense", "defense")
_LIRA = {"attack": "lira"}
_FROM_ONE_RUN = "predicted from one run"
_SETTING = KeyColumn("setting", "setting")
_PREDICTED: Columns = [
    Column("median μ", "median_mu", plain(".3g")),
    Column("predicted AUC", "predicted_auc", plain(".3f")),
]
_MATCHED: Columns = [
    Column("Spearman of μ and AUC", "spearman", plain(".2f")),
    Column("factor on μ that matches", "scale", plain(".2g")),
]


def report(plan: Plan, compared: Compared, results: Results) -> Report:
    """Tables, figures and their page."""
    options = plan.options
    tables = {
        "main": _main_table(plan, compared, results),
        "fronts": _fronts_table(plan, results),
        "settings": _settings_table(plan, results),
        "canaries": canaries_table(results),
        **(
            {}
            if plan.task.canaries is None
            else {"canary_fronts": _fronts_table(plan, results, "canary_")}
        ),
        "checklist": checklist(plan, compared, results),
        "attacks": _attacks_table(results),
        "censored": _censored_table(results),
        "deciles": _deciles_table(plan, results),
        "one_run": _one_run_table(compared, results),
        "prediction": _prediction_table(results),
        "ridges": _ridge_table(results),
        "classes": _classes_table(plan, results),
        "privacy": privacy_table(results),
        "cost": _cost_table(results),
        "recipes": recipes_table([*compared.defenses, *compared.fronts]),
    }
    reached = [
        {
            "label": label,
            "accuracy": 100 * row.get("test_accuracy").mean,
            "found": 100 * between(row).mean,
            "predicted": 100 * row.get("predicted_tpr_at_1pct").mean,
        }
        for (label,), row in results.groups("defense")
    ]
    return Report(
        __file__,
        tables=tables,
        figures=_figures(plan, compared, results),
        terminal=("main", "fronts", "cost"),
        claims_note=RULE,
        words={
            "options": options,
            "task": plan.task,
            "book": plan.book,
            "first": reached[0],
            "halving": [row for row in reached[1:] if row["found"] <= reached[0]["found"] / 2],
            "exceeded": [row for row in reached if row["found"] > row["predicted"]],
            "num_defenses": len(reached),
            "standings": _standings(results),
        },
    )


def _main_table(plan: Plan, compared: Compared, results: Results) -> Table:
    options = plan.options
    table = tabulate(
        f"Accuracy and the best attack on {options.dataset} (percent, but for AUC)",
        results,
        [
            _DEFENSE,
            Column("accuracy", "test_accuracy", percent()),
            Column("worst class", "worst_class_accuracy", percent()),
            Column("TPR@1 %", best_of(), range_of(2)),
            Column(_FROM_ONE_RUN, "one_run_tpr_at_1pct", percent(2)),
            Column("TPR@0.1 %", best_of("0"), range_of(2)),
            Column("best attack", "best_attack", attack_name),
            Column("LiRA TPR@1 %", "tpr_at_1pct", percent(2), _LIRA),
            Column("LiRA AUC", "auc", number(3), _LIRA),
        ],
        f"Mean ± 95 % t-interval over {options.seeds} seeds. First TPRs: the maximum over "
        "attacks; the value is that of the attack that half of the examples choose, on the other "
        "half, and the 95 % interval, over examples and seeds together, holds for all attacks at "
        "once. TPR at 1 % and 0.1 % FPR; guessing has TPR = FPR and AUC 0.5. Predicted from one "
        "run: TPR at 1 % FPR, without an attack, from one model and at most two reruns. "
        "Censored points count as members. Gate, clip and censoring "
        f"use GNQ with a ridge of {options.relative_ridge:g} × the mean squared gradient norm of "
        "the batch.",
    )
    return _with_refusals(table, compared)


def _one_run_table(compared: Compared, results: Results) -> Table:
    reasons = {
        label: next(one.reason for one in predicted if one.refusal).rstrip(".")
        for label, predicted in compared.predicted.items()
        if refused(predicted)
    }
    table = tabulate(
        "Predicted from one run, and what attacks achieve (AUC; TPR at 1 % FPR in percent)",
        results,
        [
            _DEFENSE,
            Column("predicted AUC", "one_run_auc", number(3)),
            Column("AUC of the best attack", "best_auc", number(3)),
            Column(_FROM_ONE_RUN, "one_run_tpr_at_1pct", percent(2)),
            Column("TPR of the best attack", best_of(), range_of(2)),
            Column("s per seed", "one_run_seconds", plain(".1f")),
        ],
        "Mean ± 95 % t-interval over seeds; in each from the first model, with the next as its "
        "reruns, by gujax.assess. Seconds hold compiling. A number that a seed "
        "refuses is refused for all. "
        + "; ".join(f"{label}: {reason}" for label, reason in reasons.items())
        + ("." if reasons else ""),
    )
    return _with_refusals(table, compared)


def _with_refusals(table: Table, compared: Compared) -> Table:
    """Words in place of the TPR that one run does not predict, and nothing in place of its AUC."""
    column = table.columns.index(_FROM_ONE_RUN)
    others = [i for i, name in enumerate(table.columns) if name == "predicted AUC"]
    rows = []
    for row in table.rows:
        cells = list(row)
        if words := refused(compared.predicted[row[0]]):
            cells[column] = words
            for i in others:
                cells[i] = UNKNOWN
        rows.append(cells)
    return replace(table, rows=rows)


def _fronts_table(plan: Plan, results: Results, of: str = "") -> Table:
    """Every family at the accuracies where all are compared; of "canary_", by canaries."""
    accuracies = results.values("accuracy")
    rows, verdicts = [], 0
    for (name,), row in results.groups("front"):
        cells = []
        for at in accuracies:
            found = row.get(f"{of}front", accuracy=at).interval
            stands = standing(row.get(f"{of}front_difference", accuracy=at).interval)
            verdicts += stands != "unknown"
            text = format_interval(found, percent=True, digits=1 if of else 2)
            cells.append(text if np.isnan(found.mean) else f"{text} {stands}")
        rows.append([name, *cells])
    return Table(
        f"{'Canaries' if of else 'Members'} found at 1 % false positives while an accuracy is "
        f"kept, {plan.options.dataset} (percent)",
        ("family", *(f"{100 * at:g}" for at in accuracies)),
        rows,
        "Columns: test accuracy to keep. The best of a family's settings, and of coin tosses "
        "between two of them, chosen on the other seeds; mean ± 95 % interval over seeds and "
        "examples. Ahead: "
        "less is found than at the best of all other families together, by a paired interval that "
        "excludes 0; behind: more; level: 0 is included; unknown: only this family, or it in one "
        "seed alone, keeps the accuracy. – where no setting keeps it, so that a family is behind "
        "below its last setting for want of others. To the t-interval over seeds is added what a "
        "jackknife over the training examples, which are the same in all, says of their choice; "
        "that of the test examples is not counted. A family is called ahead or behind by chance in "
        f"about one case of 20; there are {verdicts} such words.",
    )


def _settings_table(plan: Plan, results: Results) -> Table:
    return tabulate(
        "Every setting (percent; seconds per seed)",
        results,
        [
            _SETTING,
            Column("accuracy", "test_accuracy", percent()),
            Column("found", "found", percent(2)),
            Column("canaries found", "canaries_found", share()),
            Column("ε", "epsilon_spent", plain(".3g")),
            Column("s", "seconds", plain(".1f")),
        ],
        "Found: by the best attack at 1 % false positives, the attack chosen on the other seeds; "
        "intervals over seeds and examples. "
        "ε: where noise gives a guarantee; – where there is none, also of noise too small for one. "
        "Seconds hold compiling, and the teachers of the first setting that needs them.",
    )


def _standings(results: Results) -> list[dict[str, Any]]:
    """For each family the accuracies at which it is ahead, level and behind, in words."""
    found = []
    for (name,), row in results.groups("front"):
        at: dict[str, list[str]] = {}
        for accuracy in results.values("accuracy"):
            stands = standing(row.get("front_difference", accuracy=accuracy).interval)
            at.setdefault(stands, []).append(f"{100 * accuracy:g} %")
        at.pop("unknown", None)
        found.append({"name": name, "at": {word: ", ".join(where) for word, where in at.items()}})
    return found


def _front_panels(settings: Sequence[Defense], results: Results) -> list[figures.FrontPanel]:
    panels = []
    for name in dict.fromkeys(defense.front for defense in settings):
        own = [defense for defense in settings if defense.front == name]
        rows = [results.where(setting=defense.label) for defense in own]
        line = results.where(front=name).along("along", "line")
        panels.append(
            figures.FrontPanel(
                figures.Series(name, *line, own[0].color, "-"),
                [row.get("test_accuracy").interval for row in rows],
                [row.get("found").interval for row in rows],
            )
        )
    return panels


def _attacks_table(results: Results) -> Table:
    return tabulate(
        "Every attack: TPR at 1 % FPR (percent) and AUC",
        results,
        [
            _DEFENSE,
            *(
                Column(f"{name} {what}", measure, show, {"attack": attack})
                for attack, name in ATTACKS.items()
                for what, measure, show in (
                    ("TPR", "tpr_at_1pct", percent(2)),
                    ("AUC", "auc", number(3)),
                )
            ),
            Column("LiRA balanced acc.", "balanced_accuracy", percent(), _LIRA),
        ],
    )


def _censored_table(results: Results) -> Table:
    counted = (
        ("{}, all", _LIRA),
        ("{}, kept", {**_LIRA, "kept": "own"}),
        ("kept, plain SGD", {**_LIRA, "kept": "SGD"}),
    )
    return tabulate(
        "LiRA with and without the censored points (TPR at 1 % FPR in percent; AUC)",
        of_removing(results),
        [
            _DEFENSE,
            *(
                Column(heading.format(what), measure, show, keys)
                for what, measure, show in (
                    ("TPR", "tpr_at_1pct", percent(2)),
                    ("AUC", "auc", number(3)),
                )
                for heading, keys in counted
            ),
        ],
        "All: removed examples are members, as in the other tables. Kept: they are left out. Plain "
        "SGD: the attack before censoring, on the same kept examples.",
    )


def _deciles_table(plan: Plan, results: Results) -> Table:
    table = matrix(
        "LiRA's AUC per example, by decile of the nats accumulated in plain SGD",
        results,
        KeyColumn("decile", "defense"),
        "decile",
        "auc_per_example",
        plain(".3f"),
        f"Nats with relative ridge {plan.options.relative_ridge:g}; they add up over steps and may "
        "exceed ln 2 ≈ 0.69, the entropy of membership, which caps what is disclosed. An AUC of "
        "0.5 is guessing: pairs of models are told apart by the others, so it is not biased.",
    )
    nats = [plain(".3g")(results.get("nats", decile=1 + index)) for index in range(NUM_BINS)]
    return replace(table, rows=[["nats in plain SGD", *nats], *table.rows])


def _prediction_table(results: Results) -> Table:
    return tabulate(
        "Predicted and measured attack",
        results,
        [
            _DEFENSE,
            *_PREDICTED,
            Column("measured AUC per example", "measured_auc", plain(".3f")),
            Column("predicted TPR at 1 % FPR (%)", "predicted_tpr_at_1pct", plain(".1f", 100)),
            Column("measured TPR at 1 % FPR (%)", "tpr_at_1pct", plain(".2f", 100), _LIRA),
            *_MATCHED,
        ],
        "Predictions and AUC per example are means over the training examples. The factor is "
        "fitted to the same data; – where the attack does not beat guessing.",
    )


def _ridge_table(results: Results) -> Table:
    return tabulate(
        "Plain SGD under several ridges (one seed)",
        results,
        [
            KeyColumn("relative ridge", "relative_ridge", "{:g}".format),
            Column("median nats", "median_nats", plain(".3g")),
            Column("largest nats", "max_nats", plain(".3g")),
            *_PREDICTED,
            Column("measured AUC", "measured_auc", plain(".3f")),
            *_MATCHED,
        ],
        "Ridges are relative to the mean squared gradient norm of the batch.",
    )


def _classes_table(plan: Plan, results: Results) -> Table:
    names = plan.task.class_names
    return tabulate(
        "Accuracy of the worst class (percent)",
        results,
        [
            _DEFENSE,
            Column("all classes", "test_accuracy", percent()),
            Column("worst class of each seed", "worst_class_accuracy", percent()),
            Column("most often", "worst_class", lambda index: names[int(index.mean)]),
        ],
        "Class accuracies are means over a seed's models; the worst class is chosen per seed. The "
        "last column names the class with the lowest mean over seeds.",
    )


def _cost_table(results: Results) -> Table:
    return tabulate(
        "Cost of one training step: time, relative time, temporary memory",
        results,
        [
            KeyColumn("step", "step"),
            KeyColumn("model and batch", "model"),
            Column("ms", "milliseconds", plain(".3g")),
            Column("relative", "relative", plain(".2f", suffix="×")),
            Column("MiB", "memory_mib", plain(".2f")),
        ],
        "Medians of interleaved samples in one process. Plain is the gradient of the mean loss, "
        "nothing per example. Memory is what the compiled step allocates beside its inputs and "
        "outputs. On a small model the work on the B × B Gram matrix, which does not depend on "
        "the model, outweighs the step itself.",
    )


def _figures(plan: Plan, compared: Compared, results: Results) -> dict[str, Picture]:
    settings = [run.defense for run in (*compared.defenses, *compared.fronts)]
    runs = [ordinary(run, plan.task) for run in compared.defenses]
    rows = [results.where(defense=run.defense.label) for run in compared.defenses]
    defenses = [run.defense for run in compared.defenses]
    names = plan.task.class_names
    accuracy = [row.get("test_accuracy").interval for row in rows]
    found = [between(row) for row in rows]
    lines = [
        figures.Series(defense.label, *row.along("decile", "auc_per_example"), defense.color)
        for defense, row in zip(defenses, rows)
    ]
    classes = [row.along("class", "class_accuracy")[1] for row in rows]
    return {
        "privacy_utility": Picture(
            figures.privacy_utility(defenses, accuracy, found, 0.01, "best attack"),
            "Test accuracy against the best attack's true positive rate at 1 % false positives",
        ),
        "fronts": Picture(
            figures.fronts(_front_panels(settings, results), 0.01),
            "Members found over test accuracy, one panel per family",
        ),
        "roc": Picture(
            figures.roc_curves(defenses, [_roc(run) for run in runs]),
            "ROC curves of LiRA on logarithmic axes",
        ),
        "attack_by_uniqueness": Picture(
            figures.attack_by_uniqueness(
                lines, 0.5, "decile of the nats that an example accumulates in plain SGD"
            ),
            "Attack success over deciles of accumulated nats",
        ),
        "predicted_against_measured": Picture(
            _predicted(runs[0], results), "Measured AUC per example against composed μ"
        ),
        "class_accuracy": Picture(
            figures.class_accuracy(names, defenses, classes), "Test accuracy by class"
        ),
    }


def _predicted(run: DefenseRun, results: Results) -> Any:
    """Single examples of plain SGD, their means over deciles of μ, and predicted curves."""
    mu, measured = pooled_mu(run.seeds), pooled_auc(run.seeds)
    (_, centers), (_, auc) = (
        results.along("mu_decile", name) for name in ("median_mu", "auc_per_example")
    )
    mu_of_bin = [center.mean for center in centers]
    line = figures.Series("LiRA, deciles of μ", mu_of_bin, auc, style.BLACK)
    grid = np.geomspace(max(mu.min(), mu.max() / 1e4), mu.max(), 200)
    curves = [("predicted: Φ(μ/√2)", grid, np.asarray(predicted_auc(grid)))]
    scale = results.get("scale", defense=run.defense.label).mean
    if not np.isnan(scale):
        name = f"predicted with μ × {scale:.2g} (fitted)"
        curves.append((name, grid, np.asarray(predicted_auc(scale * grid))))
    return figures.predicted_against_measured(mu, measured, line, curves)


def _roc(run: DefenseRun) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    scores = np.concatenate([of_seed.outputs.scores["lira"] for of_seed in run.seeds])
    members = np.concatenate([of_seed.members for of_seed in run.seeds])
    measured = evaluate_attack(scores, members, num_resamples=0)
    # Some hundred points draw the curve as well as all of them do.
    grid = np.geomspace(1e-4, 1, 400)
    return grid, np.interp(grid, measured.fpr, measured.tpr)
