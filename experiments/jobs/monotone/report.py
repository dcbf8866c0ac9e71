"""The report of the study: tables, figures and one HTML page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.framework.claim import Claim
from experiments.framework.run_directory import RunDirectory
from experiments.framework.seeds import interval, number, percent
from experiments.jobs.monotone.analysis import (
    NUM_STRATA,
    PER_EXAMPLE,
    SUCCESS,
    VARIABLES,
    explains,
    has_arms,
)
from experiments.membership.analysis import NUM_BINS
from experiments.report import figures, html, style, threat_models
from experiments.report.formats import significant
from experiments.report.tables import Table, claims_table
from experiments.tasks.recipe import Recipe
from experiments.tasks.task import Task

if TYPE_CHECKING:
    from experiments.jobs.monotone.job import Options

_WORDS = {
    "gradient_norm": "gradient norm",
    "member_loss": "member loss",
    "held_out_loss": "held-out loss",
}
_THIRDS = ("lowest third", "middle third", "highest third")


def write(
    directory: RunDirectory,
    options: "Options",
    task: Task,
    recipe: Recipe,
    summary: Mapping[str, Any],
    tested: Sequence[Claim],
) -> list[Table]:
    """Writes figures and `report.html`; returns the tables that the terminal shows.

    Args:
        directory: The run directory.
        options: Options of the job.
        task: Data and model.
        recipe: How the models were trained.
        summary: What `analysis.summarize` returned.
        tested: Claims and verdicts.
    """
    entries = summary["estimators"]
    main, arms, verdicts = main_table(entries), arms_table(entries), claims_table(tested)
    by_uniqueness, by_stratum = _draw(directory, entries)
    sections = [
        html.section("Claims", html.table(verdicts)),
        html.section(
            "Attack success over uniqueness", by_uniqueness, html.table(main), html.table(arms)
        ),
        html.section(
            "Where the curve falls first, and why",
            *(html.paragraph(text) for text in causes(summary)),
            by_stratum,
            html.table(strata_table(entries)),
            *(html.table(profile_table(label, entries[label])) for label in _profiled(entries)),
        ),
        html.section("Threat model", *(html.paragraph(text) for text in _threat_model(options))),
        html.section("How it is measured", *(html.paragraph(text) for text in _method(recipe))),
        html.section("Files of this run", html.bullets(_FILES)),
    ]
    lead = (
        f"{task.dataset.name}: {len(task.dataset.train)} training examples, {task.model_name}, "
        f"plain SGD, test accuracy {percent(summary['test_accuracy'])} %. {options.seeds} seeds × "
        f"{options.shadow_models} models, each trained on a random half. ± and bands are 95 % "
        "t-intervals of the mean over seeds."
    )
    title = f"Does attack success rise with gradient uniqueness on {task.dataset.name}?"
    directory.file("report.html").write_text(html.page(title, lead, sections))
    return [main, verdicts]


def main_table(entries: Mapping[str, Any]) -> Table:
    """LiRA's AUC per example against every measure of uniqueness."""
    rows = []
    for label, entry in entries.items():
        curve = entry["success"]["lira_auc"]
        bins = curve["by_bin"]
        rows.append(
            [
                label,
                number(curve["spearman"], 3),
                number(bins[0], 3),
                f"{min(of_bin['mean'] for of_bin in bins[1:-1]):.3f}",
                number(bins[-1], 3),
                number(curve["left_arm"], 3),
                number(curve["right_arm"], 3),
                percent(curve["isotonic"], 0),
            ]
        )
    return Table(
        "LiRA's AUC per example over deciles of uniqueness",
        (
            "measure",
            "Spearman",
            "first decile",
            "lowest between",
            "last decile",
            "left arm",
            "right arm",
            "non-decreasing (%)",
        ),
        rows,
        "Ridges are relative to the mean squared gradient norm. Arms: first and last decile above "
        "the lowest one in between, which is looked up in the other seeds, so that a curve without "
        "a U has no left arm above 0. Non-decreasing: share of the variance between deciles that "
        "the best non-decreasing curve explains.",
    )


def arms_table(entries: Mapping[str, Any]) -> Table:
    """The left arm under other definitions of success."""
    rows = []
    for label, entry in entries.items():
        cells = [label]
        for name in SUCCESS:
            curve = entry["success"][name]
            cells.append(number(curve["left_arm"], 3) + (" U" if has_arms(curve) else ""))
        rows.append(cells)
    return Table(
        "First decile above the lowest in between, by what is called success",
        ("measure", *SUCCESS.values()),
        rows,
        "U: both arms lie above 0 by their intervals. Right guesses and members found are at the "
        "threshold of best balanced accuracy, one for all examples.",
    )


def strata_table(entries: Mapping[str, Any]) -> Table:
    """The left arm within strata of what might explain it."""
    rows = []
    for label, entry in entries.items():
        curve = entry["success"]["lira_auc"]
        cells = [label, number(curve["left_arm"], 3), number(curve["spearman"], 2)]
        for name in VARIABLES:
            stratified = entry["strata"]["lira_auc"][name]
            cells += [number(stratified["left_arm"], 3), number(stratified["spearman"], 2)]
        rows.append(cells)
    headings = [
        f"{what} within thirds of {_WORDS[name]}"
        for name in VARIABLES
        for what in ("left arm", "Spearman")
    ]
    return Table(
        "Left arm and Spearman of LiRA's AUC, overall and within strata",
        ("measure", "left arm", "Spearman", *headings),
        rows,
        f"Examples are cut into {NUM_STRATA} equal strata of the other variable, then into deciles "
        "of the measure within each; the mean over strata is shown.",
    )


def profile_table(label: str, entry: Mapping[str, Any]) -> Table:
    """What the examples in each decile are like."""
    rows = [["mean of the measure", *(_short(of_bin) for of_bin in entry["mean_by_bin"])]]
    rows += [
        [what, *(f"{of_bin['mean']:.3f}" for of_bin in entry["success"][name]["by_bin"])]
        for name, what in SUCCESS.items()
    ]
    names = {**VARIABLES, "doubted": "share of held-out models with p(label) < 1/2"}
    rows += [
        [what, *(_short(of_bin) for of_bin in entry["profile"][name])]
        for name, what in names.items()
    ]
    columns = ("mean over the decile", *(str(b + 1) for b in range(NUM_BINS)))
    return Table(f"The deciles of: {label}", columns, rows)


def causes(summary: Mapping[str, Any]) -> list[str]:
    """Where a U-curve appears, and which variable removes it."""
    entries = summary["estimators"]
    texts = []
    for name in PER_EXAMPLE:
        for label, entry in entries.items():
            curve = entry["success"][name]
            if has_arms(curve):
                within = entry["strata"][name]
                removing = [VARIABLES[other] for other in VARIABLES if explains(within[other])]
                texts.append(
                    f"{SUCCESS[name]}, over {label}: a U-curve, whose left arm is "
                    f"{number(curve['left_arm'], 3)}. "
                    + (
                        "Among examples of about equal " + " or equal ".join(removing) + " it is "
                        "not told apart from 0."
                        if removing
                        else "It remains within thirds of each variable below."
                    )
                )
    if not any(has_arms(entry["success"]["lira_auc"]) for entry in entries.values()):
        texts.insert(
            0,
            "No measure shows a U-curve in LiRA's AUC per example: nowhere do both ends lie above "
            "the lowest decile in between by their intervals.",
        )
    if texts[1:]:
        texts.append(
            f"{len(entries) * len(PER_EXAMPLE)} curves were looked at. About one in 40 curves "
            "without a U passes this test by chance."
        )
    others = [
        SUCCESS[name]
        for name in SUCCESS
        if name not in PER_EXAMPLE
        and any(has_arms(entry["success"][name]) for entry in entries.values())
    ]
    if others:
        texts.append(
            "What is called success matters: a U-curve appears in " + " and ".join(others) + " "
            "(see the table above). With one threshold for all examples, easy examples, whose loss "
            "is small under every model, are always taken for members: their members are found and "
            "their non-members accused."
        )
    low, high = summary["appearances"]
    texts.append(
        f"How often an example was measured does not explain anything: {low:.1f} to {high:.1f} "
        "batches per example and model on average, as every epoch of shuffled batches holds each "
        "member once."
    )
    return texts


def _draw(directory: RunDirectory, entries: Mapping[str, Any]) -> tuple[str, str]:
    lines = []
    for label, entry in entries.items():
        curve = entry["success"]["lira_auc"]
        title = f"{label}\nSpearman {number(curve['spearman'], 2)}"
        lines.append(_series(title, entry["kind"], curve["by_bin"]))
    figure = figures.attack_by_uniqueness(lines, 0.5, "decile of the measure (10: most unique)")
    path = style.save(figure, directory.file("figures/attack_by_uniqueness"))
    by_uniqueness = html.figure(
        path,
        "Attack success over deciles of each measure of uniqueness",
        "LiRA's AUC on single examples, averaged over deciles of each measure; bands are 95 % "
        "t-intervals over seeds. Grey: the first panel's curve.",
    )
    panels = [
        [
            figures.StrataPanel(
                f"{label}\nby {_WORDS[name]}",
                [
                    _series(third, "", by_bin)
                    for third, by_bin in zip(
                        _THIRDS, entries[label]["strata"]["lira_auc"][name]["by_bin"]
                    )
                ],
            )
            for name in VARIABLES
        ]
        for label in _profiled(entries)
    ]
    figure = figures.curves_by_stratum(
        panels,
        0.5,
        "decile of the measure within the third",
        "LiRA: AUC per example, mean of bin",
        "examples in the … of the other variable",
    )
    path = style.save(figure, directory.file("figures/attack_within_strata"))
    return by_uniqueness, html.figure(
        path,
        "Attack success over uniqueness within thirds of gradient norm and loss",
        "The same within thirds of another variable: a U-curve that comes from that variable is "
        "gone here.",
    )


def _series(label: str, family: str, by_bin: Sequence[Mapping[str, Any]]) -> figures.Series:
    ends = zip(*(interval(of_bin) for of_bin in by_bin))
    return figures.Series(label, family, list(range(1, NUM_BINS + 1)), *ends)


def _profiled(entries: Mapping[str, Any]) -> list[str]:
    """The measures that are looked at closely: the first exact one and the first diagonal one."""
    first = {entry["kind"]: label for label, entry in reversed([*entries.items()])}
    return [first["exact"], first["diagonal"]]


def _short(entry: Mapping[str, Any]) -> str:
    return significant(entry["mean"])


def _threat_model(options: "Options") -> list[str]:
    return [
        threat_models.of_attacks(options.shadow_models) + " The loss threshold and the bare loss "
        "need no shadow models.",
        "The measures rank examples; they are not thresholds that this attacker meets. Exact GNQ "
        "stands for another attacker, who sees every update through noise of variance ridge × 1/4 "
        "per coordinate; nobody adds that noise in plain SGD. The diagonal GNQ and the gradient "
        "norm bound nothing.",
    ]


def _method(recipe: Recipe) -> list[str]:
    return [
        f"Training: {recipe.optimizer}, learning rate {recipe.learning_rate:g}, "
        f"{'cosine decay' if recipe.cosine_decay else 'constant'}, batches of "
        f"{recipe.batch_size}, {recipe.epochs} epochs. An example's measure is its total over the "
        "steps (per batch) or checkpoints (data set) of a run, averaged over the models that were "
        "trained on it; its attack success is over all models of the seed.",
        "The AUC of a single example comes from few models and is noisy, which lowers every "
        "Spearman correlation; means over deciles are not affected. An AUC a little below 0.5 is "
        "no protection beyond guessing: a target is left out of its own shadow models, which "
        "biases LiRA downwards when these are few. The AUC of the bare loss of each example, "
        "members' against non-members', has no such bias.",
    ]


_FILES = [
    "config.json: options and versions; status.json: that the run completed.",
    "summary.json: every number of this page. claims.json: claims and verdicts.",
    "scores.parquet: per seed, model and training example: member, scores, appearances, measures.",
    "per_example.parquet: per seed and training example: success, measures, losses.",
    "figures/: every figure as PNG and SVG.",
]
