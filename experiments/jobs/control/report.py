"""The report of `control`: tables, figures and one HTML page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.framework.claim import Claim
from experiments.framework.run_directory import RunDirectory
from experiments.framework.seeds import interval, number, percent
from experiments.jobs.compare.report import OWN_RECIPES, recipes_table, searched
from experiments.jobs.control.analysis import DRAWN, LEFT_OUT, REFERENCE
from experiments.jobs.control.claims import NAMES, RULE
from experiments.report import figures, html, style, threat_models
from experiments.report.tables import Table, claims_table
from experiments.tasks.recipe import RecipeBook
from experiments.tasks.task import Task

if TYPE_CHECKING:
    from experiments.jobs.control.job import Options


def write(
    directory: RunDirectory,
    options: "Options",
    task: Task,
    book: RecipeBook,
    summary: Mapping[str, Any],
    claims: Sequence[Claim],
) -> list[Table]:
    """Writes figures and `report.html`; returns the tables that the terminal shows.

    Args:
        directory: The run directory.
        options: Options of the job.
        task: Data and model.
        book: Hyperparameters and the search that found them.
        summary: What `at_equal_accuracy.summarize` returned.
        claims: Claims with their verdicts.
    """
    equal, verdicts = equal_table(summary), claims_table(claims, RULE)
    train = task.dataset.train
    sections = [
        html.section("Claims and verdicts", html.table(verdicts)),
        html.section(
            "At equal accuracy",
            html.paragraph(
                "Each method's settings and plain SGD are joined by straight lines, seed by seed: "
                "a trainer reaches every point of a line by tossing a coin between the settings at "
                "its ends. All methods are then read where they cost the same accuracy."
            ),
            _draw(directory, summary),
            html.table(equal),
        ),
        html.section("All settings", html.table(settings_table(summary["defenses"]))),
        html.section(
            "How censored points are counted",
            html.paragraph(
                "Both ways. As members, unless a row says otherwise: their owners handed them to "
                "the trainer, and an example that a gate always drops is no less a member. Left "
                "out: the pairs of model and example that censoring removed do not count; the "
                "other methods remove nobody."
            ),
        ),
        html.section(
            "Threat model",
            html.paragraph(threat_models.of_attacks(options.shadow_models)),
            html.paragraph(
                "Uniqueness, which gate, clip, budget and censoring all decide by, is measured "
                f"under a ridge of {options.relative_ridge:g} × the mean squared gradient norm of "
                "the batch: noise that the attacker is assumed to face, which nobody adds. None of "
                "these methods comes with a guarantee; what attacks find is a lower bound."
            ),
        ),
        html.section(
            "Training",
            html.paragraph(f"{OWN_RECIPES} So does the budget."),
            html.paragraph(searched(task, book)),
            html.table(recipes_table(summary["defenses"])),
        ),
        html.section("Files of this run", html.bullets(_FILES)),
    ]
    lead = (
        f"{task.dataset.name}: {len(train)} training and {len(task.dataset.test)} test examples, "
        f"{task.model_name}. {options.seeds} seeds × {options.shadow_models} models per setting, "
        "each trained on a random half. ± is the 95 % t-interval of the mean over seeds."
    )
    title = f"Gate, clip and budget against censoring on {task.dataset.name}"
    directory.file("report.html").write_text(html.page(title, lead, sections))
    return [equal, verdicts]


def equal_table(summary: Mapping[str, Any]) -> Table:
    """What each method gives away at each named loss of accuracy."""
    rows = [
        [_title(name), *("–" if rate is None else percent(rate, 2) for rate in rates)]
        for name, rates in summary["at_drops"].items()
    ]
    return Table(
        "Members found at 1 % false positives, at equal accuracy (percent)",
        ("method", *(f"{100 * drop:g} points below SGD" for drop in summary["drops"])),
        rows,
        "The better of LiRA and RMIA in each seed, interpolated between settings. – where the "
        "settings do not reach this accuracy in every seed.",
    )


def settings_table(defenses: Mapping[str, Any]) -> Table:
    """Accuracy and attacks of every setting that was run."""
    rows = []
    for label, entry in defenses.items():
        found = entry["attacks"]
        kept = entry.get("attacks_on_kept")
        rows.append(
            [
                label,
                percent(entry["test_accuracy"]),
                percent(found["lira"]["tpr_at_1pct"], 2),
                percent(found["rmia"]["tpr_at_1pct"], 2),
                percent(found["best"]["tpr_at_1pct"], 2),
                "–" if kept is None else percent(kept["best"]["tpr_at_1pct"], 2),
                percent(found["best"]["tpr_at_01pct"], 2),
                number(found["lira"]["auc"], 3),
            ]
        )
    return Table(
        "Accuracy, and members found at 1 % and 0.1 % false positives (percent)",
        (
            "setting",
            "accuracy",
            "LiRA 1 %",
            "RMIA 1 %",
            "better 1 %",
            "better 1 %, removed left out",
            "better 0.1 %",
            "LiRA AUC",
        ),
        rows,
        "Mean ± 95 % t-interval over seeds. Better: the attack that finds more, chosen in each "
        "seed. Guessing finds 1 % and 0.1 %.",
    )


def _draw(directory: RunDirectory, summary: Mapping[str, Any]) -> str:
    shown = [name for name in (REFERENCE, *NAMES) if name in summary["frontiers"]]
    lines = [
        figures.FrontierLine(
            _title(name),
            name,
            [entry["label"].removeprefix(f"{name} ") for entry in summary["settings"][name]],
            [(e["drop"]["mean"], e["rate"]["mean"]) for e in summary["settings"][name]],
            [entry["drop"] for entry in summary["frontiers"][name]],
            [interval(entry["rate"]) for entry in summary["frontiers"][name]],
        )
        for name in shown
    ]
    drawn = figures.frontiers(lines, 0.01, DRAWN * max(summary["drops"]))
    path = style.save(drawn, directory.file("figures/frontiers"))
    return html.figure(
        path,
        "Members found over the accuracy given up, one panel per method",
        "What the better of LiRA and RMIA finds at 1 % false positives, over the accuracy that a "
        "method costs. Dots: settings, means over seeds. Lines: interpolated seed by seed, with "
        "95 % t-intervals, as far as every seed reaches. Grey: censoring. Dotted: guessing. "
        "Settings that cost more accuracy than the axis shows are in the table below.",
    )


def _title(name: str) -> str:
    return {REFERENCE: "censoring", LEFT_OUT: "censoring, removed left out"}.get(name, name)


_FILES = [
    "config.json: options and versions; status.json: that the run completed.",
    "summary.json: every number of this page. claims.json: the claims and verdicts.",
    "scores.parquet, per_example.parquet, test_accuracy.parquet, steps.parquet: as `compare` "
    "writes them; nats and μ where a ledger was kept.",
    "figures/: every figure as PNG and SVG.",
]
