"""The report of the study: tables, a figure and one HTML page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.framework.claim import Claim
from experiments.framework.run_directory import RunDirectory
from experiments.framework.seeds import interval, number, percent
from experiments.jobs.auditors.analysis import AUDITORS, LOWER
from experiments.report import figures, html, style
from experiments.report.formats import significant
from experiments.report.tables import Table, claims_table
from experiments.tasks.recipe import Recipe
from experiments.tasks.task import Task

if TYPE_CHECKING:
    from experiments.jobs.auditors.job import Options


def write(
    directory: RunDirectory,
    options: "Options",
    task: Task,
    recipes: Mapping[float, Recipe],
    entries: Sequence[Mapping[str, Any]],
    tested: Sequence[Claim],
) -> list[Table]:
    """Writes the figure and `report.html`; returns the tables that the terminal shows.

    Args:
        directory: The run directory.
        options: Options of the job.
        task: Data and model.
        recipes: How the models of each ε were trained.
        entries: What `analysis.summarize` returned.
        tested: Claims and verdicts.
    """
    main, meaning = epsilon_table(entries, options), meaning_table(entries)
    verdicts = claims_table(tested)
    sections = [
        html.section("Claims", html.table(verdicts)),
        html.section("ε by auditor", _draw(directory, entries), html.table(main)),
        html.section("What each number bounds, and what it costs", html.table(meaning)),
        html.section("Distance to the accountant", html.table(gaps_table(entries))),
        html.section("The runs", html.table(runs_table(entries))),
        html.section("Threat model", html.bullets(_threat_model(options))),
        html.section("How it is measured", *map(html.paragraph, _method(options, recipes))),
        html.section("Files of this run", html.bullets(_FILES)),
    ]
    lead = (
        f"{task.dataset.name}: {len(task.dataset.train)} training examples, {options.canaries} of "
        f"them canaries with a wrong label; {task.model_name}, DP-SGD. {options.seeds} seeds × "
        f"{options.shadow_models} models for each ε. ± is the 95 % t-interval of the mean over "
        "seeds."
    )
    title = f"Auditors of DP-SGD compared on {task.dataset.name}"
    directory.file("report.html").write_text(html.page(title, lead, sections))
    return [main, meaning, verdicts]


def epsilon_table(entries: Sequence[Mapping[str, Any]], options: "Options") -> Table:
    """ε of every auditor at every guarantee."""
    rows = [
        [auditor.name, *(number(entry["epsilons"][name], 2) for entry in entries)]
        for name, auditor in AUDITORS.items()
    ]
    rows.append(
        [
            "formula of GNQ's ε, nobody hides",
            *(f"{entry['central_limit_worst_case']:.2f}" for entry in entries),
        ]
    )
    return Table(
        f"ε at δ = {options.delta:g}",
        ("auditor", *(f"target ε = {entry['target']:g}" for entry in entries)),
        rows,
        f"Lower bounds hold with {100 * (1 - options.significance):g} % confidence each. Last row: "
        "the central limit theorem for subsampled Gaussian steps, for an example whose gradient "
        "always has the clipping norm and that no other example hides; its distance to the "
        "accountant is the error of that theorem.",
    )


def meaning_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """What the numbers bound, and run times."""
    rows = []
    for name, auditor in AUDITORS.items():
        source = "gnq" if name.startswith("gnq") else name
        seconds = [entry["seconds"][source] for entry in entries]
        shown = [significant(value, 2) for value in (min(seconds), max(seconds))]
        rows.append(
            [
                auditor.name,
                auditor.bounds,
                auditor.models,
                shown[0] if shown[0] == shown[1] else "–".join(shown),
            ]
        )
    return Table(
        "What each auditor's ε bounds",
        ("auditor", "its number is a", "models to train", "seconds"),
        rows,
        "Seconds: median over seeds, over the values of ε; compiling is in the first seed. GNQ: "
        "training one model with the audit. One-run: a model's share of training all of them at "
        "once. Accountant: finding the noise for a target and the ε that it spends.",
    )


def gaps_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """Accountant's ε minus every other."""
    rows = [
        [AUDITORS[name].name, *(number(entry["gaps"][name], 2) for entry in entries)]
        for name in entries[0]["gaps"]
    ]
    return Table(
        "ε of the accountant minus that of the auditor",
        ("auditor", *(f"target ε = {entry['target']:g}" for entry in entries)),
        rows,
    )


def runs_table(entries: Sequence[Mapping[str, Any]]) -> Table:
    """Noise and utility of the runs, and the attack on canaries."""
    rows = [
        [
            f"{entry['target']:g}",
            f"{entry['noise_multiplier']:.3f}",
            f"{entry['sampling_rate']:.4f}",
            str(entry["steps"]),
            percent(entry["test_accuracy"]),
            number(entry["canary_auc"], 3),
            percent(entry["canary_tpr_at_1pct"], 2),
            str(entry["overflow"]),
        ]
        for entry in entries
    ]
    return Table(
        "DP-SGD, and LiRA on the canaries",
        (
            "target ε",
            "noise multiplier",
            "sampling rate",
            "steps",
            "test accuracy (%)",
            "LiRA AUC",
            "LiRA TPR at 1 % FPR (%)",
            "examples cut from batches",
        ),
        rows,
    )


def _draw(directory: RunDirectory, entries: Sequence[Mapping[str, Any]]) -> str:
    shown = [name for name in AUDITORS if name not in ("accountant", "gnq_known_batches")]
    series = [
        figures.BoundSeries(
            AUDITORS[name].name,
            name not in LOWER,
            [interval(entry["epsilons"][name]) for entry in entries],
        )
        for name in shown
    ]
    guaranteed = [entry["epsilons"]["accountant"]["mean"] for entry in entries]
    path = style.save(
        figures.epsilon_bounds(guaranteed, series), directory.file("figures/epsilon_by_auditor")
    )
    return html.figure(
        path,
        "ε by auditor for every guaranteed ε",
        "Lower bounds should lie below the dotted line, the accountant's ε; so should GNQ's upper "
        "estimates, which are for this run and its examples, where the accountant's is for the "
        "worst. Bars are 95 % t-intervals over seeds.",
    )


def _threat_model(options: "Options") -> list[str]:
    return [
        "All auditors ask: was one given example in the training set? Neighbours differ by "
        "one added or removed example.",
        "Accountant: the attacker sees every noisy update, knows and chooses all "
        "other data; does not see who is in a batch.",
        "GNQ: the attacker sees every noisy update, knows all gradients, and is uncertain who else "
        "is in a batch (each of its examples with probability 1/2). Nothing is assumed about "
        "noise: the ridge is DP-SGD's own. The other examples hide the target, which the "
        "accountant does not count on.",
        "One-run audit and LiRA: the attacker has the outputs of the final model for the canaries. "
        "The one-run audit also has those of the initial model, LiRA those of "
        f"{options.shadow_models - 1} shadow models on other coin flips. They are lower bounds for "
        "this attacker: the updates are not used.",
    ]


def _method(options: "Options", recipes: Mapping[float, Recipe]) -> list[str]:
    trained = "; ".join(
        f"ε = {epsilon:g}: {recipe.optimizer}, learning rate {recipe.learning_rate:g}, batches of "
        f"{recipe.batch_size}, {recipe.epochs} epochs, clip {recipe.l2_norm_clip:g}"
        for epsilon, recipe in recipes.items()
    )
    return [
        f"Training: {trained}. Each canary is in a training set by a fair coin, all other examples "
        "always are. The same runs are seen by every auditor; GNQ is measured on the first model "
        "of each seed, and on one that holds every canary, trained again with the audit from the "
        "same keys.",
        "One-run audit (Steinke et al. 2023): the score is how much the scaled confidence in the "
        f"canary's label grew in training; the {options.guesses} canaries of highest score are "
        "guessed to be included. Made of every model alone; the mean over models is shown. LiRA: "
        "Clopper-Pearson bounds of both error rates at a threshold chosen on half of the scores. "
        "Scores of canaries that share a model are not independent, which the bound takes them to "
        "be.",
        "GNQ: μ_t of each step that holds the example, from clipped gradients; over a run that "
        "hides its batches μ² = q² T mean(exp(μ_t²) − 1) (central limit theorem), over one that "
        "does not μ² = Σ μ_t²; ε by μ-GDP.",
    ]


_FILES = [
    "config.json: options and versions; status.json: that the run completed.",
    "summary.json: every number of this page. claims.json: claims and verdicts.",
    "canaries.parquet: per ε, seed, model and canary: included, LiRA's score, confidence learned.",
    "uniqueness.parquet: per ε, seed, audited model and example: μ with known batches, and mean "
    "of exp(μ_t²) − 1.",
    "figures/: the figure as PNG and SVG.",
]
