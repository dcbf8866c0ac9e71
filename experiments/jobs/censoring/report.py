"""The report of `censoring`: tables, figures and one HTML page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from experiments.framework.claim import Claim
from experiments.framework.run_directory import RunDirectory
from experiments.framework.seeds import interval, number, percent
from experiments.jobs.censoring.cases import Case
from experiments.jobs.censoring.claims import RULE
from experiments.jobs.compare.report import OWN_RECIPES, privacy_table, recipes_table, searched
from experiments.membership.measured import ATTACKS, RATES
from experiments.report import figures, html, style, threat_models
from experiments.report.tables import Table, claims_table
from experiments.tasks.recipe import RecipeBook

if TYPE_CHECKING:
    from experiments.jobs.censoring.job import Options

_RATE_NAMES = {"tpr_at_1pct": "1 %", "tpr_at_01pct": "0.1 %"}


def write(
    directory: RunDirectory,
    options: "Options",
    cases: Sequence[Case],
    books: Mapping[str, RecipeBook],
    summary: Mapping[str, Any],
    claims: Sequence[Claim],
) -> list[Table]:
    """Writes figures and `report.html`; returns the tables that the terminal shows.

    Args:
        directory: The run directory.
        options: Options of the job.
        cases: Data sets and models.
        books: Hyperparameters of each data set.
        summary: For each data set what `against_dp.summarize` returned.
        claims: Claims with their verdicts.
    """
    main, verdicts = main_table(summary), claims_table(claims, RULE)
    drawn = _draw(directory, summary)
    sections = [
        html.section("Claims and verdicts", html.table(verdicts)),
        html.section(
            "Accuracy and attacks",
            html.paragraph("Removed points count as members here."),
            drawn["counted"],
            html.table(main),
        ),
        html.section(
            "How censored points are counted",
            html.paragraph(
                "Both ways. Above, as members: their owners handed them to the trainer, and the "
                "attacker decides about them as about any other example. Since the model never "
                "saw them, this makes the attack on censoring look worse by about the share that "
                "was removed. Below, left out: the pairs of model and example that censoring "
                "removed do not count, neither for censoring nor for what it is compared with, so "
                "every column of a row is about the same pairs. Removed points have paid for their "
                "protection by not being learned from; those who stay are the ones whom the model "
                "may still expose."
            ),
            html.table(kept_table(summary)),
        ),
        html.section("Threat model", *_threat_model(options)),
        html.section("What DP-SGD guarantees", *_by_dataset(summary, privacy_table)),
        html.section(
            "Training",
            html.paragraph(f"{OWN_RECIPES} {_DE}"),
            *(html.paragraph(searched(case.task, books[case.task.dataset.name])) for case in cases),
            *_by_dataset(summary, recipes_table),
        ),
        html.section("Files of this run", html.bullets(_FILES)),
    ]
    sizes = "; ".join(
        f"{name}: {entry['train_size']} training examples, {entry['model']}, "
        f"{entry['shadow_models']} models per defense and seed"
        for name, entry in summary.items()
    )
    lead = (
        f"{sizes}. {options.seeds} seeds; every model is trained on a random half. ± is the 95 % "
        "t-interval of the mean over seeds."
    )
    title = "Censoring against DP-SGD"
    directory.file("report.html").write_text(html.page(title, lead, sections))
    return [main, verdicts]


def main_table(summary: Mapping[str, Any]) -> Table:
    """Accuracy and both attacks at both rates."""
    rows = []
    for name, of_dataset in summary.items():
        for label, entry in of_dataset["defenses"].items():
            found = entry["attacks"]
            cells = [
                percent(found[attack][rate], 2) for attack in (*ATTACKS, "best") for rate in RATES
            ]
            rows.append(
                [
                    name,
                    label,
                    percent(entry["test_accuracy"]),
                    *cells,
                    number(found["lira"]["auc"], 3),
                ]
            )
    names = [*ATTACKS.values(), "better"]
    return Table(
        "Accuracy, and members found at 1 % and 0.1 % false positives (percent)",
        (
            "data",
            "defense",
            "accuracy",
            *(f"{attack} {rate}" for attack in names for rate in _RATE_NAMES.values()),
            "LiRA AUC",
        ),
        rows,
        "Mean ± 95 % t-interval over seeds. Better: the attack that finds more, chosen in each "
        "seed. Guessing finds 1 % and 0.1 %. Removed points count as members.",
    )


def kept_table(summary: Mapping[str, Any]) -> Table:
    """The better attack where what censoring removed is left out, for every defense."""
    rows = []
    columns: list[str] = []
    for name, of_dataset in summary.items():
        for label, attacked in of_dataset["on_kept"].items():
            others = {other: found for other, found in attacked.items() if other != label}
            columns = list(others)
            counted = of_dataset["defenses"][label]["attacks"]
            cells = [counted, attacked[label], *others.values()]
            rows.append([name, label, *(percent(c["best"]["tpr_at_1pct"], 2) for c in cells)])
    return Table(
        "Members found at 1 % false positives by the better attack (percent)",
        ("data", "defense", "counted as members", "left out", *(f"{c}, same" for c in columns)),
        rows,
        "Last columns: the attack on models of other defenses, on the same pairs as in 'left out'.",
    )


def _draw(directory: RunDirectory, summary: Mapping[str, Any]) -> dict[str, str]:
    first = next(iter(summary.values()))["defenses"]
    labels, families = list(first), [entry["family"] for entry in first.values()]
    panels = [
        [
            figures.TradeoffPanel(
                name,
                [interval(e["test_accuracy"]) for e in of_dataset["defenses"].values()],
                [interval(e["attacks"]["best"][rate]) for e in of_dataset["defenses"].values()],
                level,
            )
            for name, of_dataset in summary.items()
        ]
        for rate, level in RATES.items()
    ]
    drawn = figures.tradeoffs(labels, families, panels)
    path = style.save(drawn, directory.file("figures/tradeoffs"))
    return {
        "counted": html.figure(
            path,
            "Test accuracy against members found, one column of panels per data set",
            "Test accuracy against what the better of LiRA and RMIA finds at 1 % (above) and 0.1 % "
            "false positives. Better is up and to the left; the dotted line is guessing. Bars are "
            "95 % t-intervals over seeds, in both directions.",
        )
    }


def _threat_model(options: "Options") -> list[str]:
    small, convnet = options.shadow_models, options.convnet_shadow_models
    extra = f" For the convnet, {convnet - 1} shadow models." if convnet != small else ""
    return [
        html.paragraph(threat_models.of_attacks(small) + extra),
        html.paragraph(
            "Knows the defense: the shadow models of a censored model were audited, censored and "
            "retrained as it was, those of a DP-SGD model have its ε, clipping norm and noise. "
            "Asks for the logits of the example as it is, once: where a model was trained on "
            "shifted or flipped copies, queries with such copies could find more."
        ),
        html.paragraph(
            "What censoring removes is chosen by the nats that each member accumulated in a plain "
            f"run, under a ridge of {options.relative_ridge:g} × the mean squared gradient norm "
            "of the batch. Only DP-SGD comes with a guarantee; what attacks find on censored "
            "models is a lower bound."
        ),
    ]


def _by_dataset(
    summary: Mapping[str, Any], table: Callable[[Mapping[str, Any]], Table]
) -> list[str]:
    """One table per data set, which its title names."""
    drawn = []
    for name, of_dataset in summary.items():
        made = table(of_dataset["defenses"])
        drawn.append(html.table(replace(made, title=f"{name}: {made.title}")))
    return drawn


_DE = (
    "DP-SGD's search is at least as large as any other, and may use what De et al. 2022 (arXiv "
    "2204.13650) found to matter: large batches, augmentation multiplicity, parameter averaging, "
    "weight standardization; the convnet has group norm."
)

_FILES = [
    "config.json: options and versions; status.json: that the run completed.",
    "summary.json: every number of this page. claims.json: the claims and verdicts.",
    "DATASET/scores.parquet: per defense, seed, model and training example: member, removed, "
    "scores; nats and μ where a ledger was kept.",
    "DATASET/per_example.parquet, test_accuracy.parquet, steps.parquet: as `compare` writes them.",
    "figures/: every figure as PNG and SVG.",
]
