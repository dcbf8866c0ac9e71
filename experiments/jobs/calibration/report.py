"""The report of the study: tables, a figure and one HTML page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.framework.claim import Claim
from experiments.framework.run_directory import RunDirectory
from experiments.framework.seeds import interval, number, percent
from experiments.jobs.calibration.claims import BIN_TOLERANCE, TOLERANCE, ridge_text
from experiments.report import figures, html, style
from experiments.report.tables import Table, claims_table
from experiments.tasks.recipe import Recipe

if TYPE_CHECKING:
    from experiments.jobs.calibration.job import Options


def write(
    directory: RunDirectory,
    options: "Options",
    recipes: Mapping[str, Recipe],
    descriptions: Sequence[str],
    summary: Mapping[str, Any],
    tested: Sequence[Claim],
) -> list[Table]:
    """Writes the figure and `report.html`; returns the tables that the terminal shows.

    Args:
        directory: The run directory.
        options: Options of the job.
        recipes: How the models of each data set were trained.
        descriptions: Each data set and its model, in words.
        summary: What `analysis.summarize` returned.
        tested: Claims and verdicts.
    """
    updates, final = updates_table(summary["updates"]), final_table(summary["final"])
    carried, verdicts = carry_over_table(summary["final"], options.dataset), claims_table(tested)
    sections = [
        html.section("Claims", html.table(verdicts)),
        html.section(
            "Predicted against achieved",
            _draw(directory, options, summary),
            html.table(updates),
            html.table(final),
        ),
        html.section(
            "Does a fitted ridge carry over?",
            html.paragraph(
                "For each seed a ridge is fitted to half of the final models and half of the "
                "examples, so that the mean predicted AUC is the mean achieved one, and then used "
                "where nothing was fitted."
            ),
            html.table(carried),
            html.table(ridges_table(summary["final"])),
        ),
        html.section("Threat model", html.bullets(_threat_model(options))),
        html.section("How it is measured", *map(html.paragraph, _method(options, recipes))),
        html.section("Files of this run", html.bullets(_FILES)),
    ]
    lead = (
        "; ".join(descriptions) + f". {options.seeds} seeds, {options.shadow_models} final models "
        "each. ± and brackets are 95 % t-intervals over seeds."
    )
    title = f"Is the predicted attack the achieved one on {options.dataset}?"
    directory.file("report.html").write_text(html.page(title, lead, sections))
    return [updates, final, carried, verdicts]


def updates_table(updates: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """The attackers of updates."""
    rows = []
    for name, entries in updates.items():
        for entry in entries:
            rows.append(
                [
                    name,
                    f"{entry['ridge']:g}",
                    _seen(entry["every"]),
                    number(entry["predicted"], 3),
                    number(entry["achieved"], 3),
                    number(entry["gap"], 4),
                    number(entry["bin_gap"], 3),
                    ridge_text(entry["fitted_ridge"]),
                ]
            )
    return Table(
        "Attack on released sums: mean AUC per example",
        (
            "data",
            "ridge of the added noise",
            "updates seen",
            "predicted",
            "achieved",
            "difference",
            "mean |difference| of deciles",
            "ridge that fits if all updates are composed",
        ),
        rows,
        "Ridges are relative to the mean squared gradient norm of the members at each step. "
        "Predicted: μ composed over the updates that are seen and would hold the example. The last "
        "column composes over all updates instead: the ridge then has to stand for unseen updates "
        "too.",
    )


def final_table(final: Mapping[str, Mapping[str, Any]]) -> Table:
    """The attacker of the final model."""
    rows = [
        [
            name,
            percent(entry["test_accuracy"]),
            number(entry["lira_auc_pooled"], 3),
            number(entry["achieved"], 3),
            ridge_text(entry["fitted_ridge"]),
            number(entry["gap"], 3),
            number(entry["bin_gap"], 3),
        ]
        for name, entry in final.items()
    ]
    return Table(
        "Attack on the final model",
        (
            "data",
            "test accuracy (%)",
            "LiRA: pooled AUC",
            "achieved: AUC per example",
            "ridge that fits",
            "difference with the other seeds' ridge",
            "mean |difference| of deciles",
        ),
        rows,
        "Achieved: LiRA's signal, the scaled confidence, of members against non-members of the "
        "same example, mean over examples; it has not the bias that LiRA's own score has with few "
        f"shadow models. Allowed: {TOLERANCE} for means, {BIN_TOLERANCE} for deciles.",
    )


def carry_over_table(final: Mapping[str, Mapping[str, Any]], main: str) -> Table:
    """What a fitted ridge predicts where it was not fitted."""
    rows = []
    for name, entry in final.items():
        carried = entry["carry_over"]
        other = carried.get("from_main_dataset")
        rows.append(
            [
                name,
                ridge_text(carried["ridge"]),
                *(number(carried[k], 3) for k in ("new_examples", "new_models", "new_seeds")),
                "–" if other is None else number(other, 3),
            ]
        )
    return Table(
        "Predicted − achieved mean AUC, final model",
        (
            "data",
            "ridge fitted on half of the models and examples",
            "same models, other examples",
            "other models, same examples",
            "next seed",
            f"with the ridge of {main}",
        ),
        rows,
    )


def ridges_table(final: Mapping[str, Mapping[str, Any]]) -> Table:
    """What other ridges would predict for the final model."""
    names = list(final)
    grid = [entry["ridge"] for entry in final[names[0]]["predicted_by_ridge"]]
    rows = [
        [f"{ridge:g}", *(number(final[name]["predicted_by_ridge"][i], 3) for name in names)]
        for i, ridge in enumerate(grid)
    ]
    rows.append(["achieved", *(number(final[name]["achieved"], 3) for name in names)])
    return Table(
        "Mean AUC per example that a ridge predicts, composed over all updates",
        ("relative ridge", *names),
        rows,
    )


def _draw(directory: RunDirectory, options: "Options", summary: Mapping[str, Any]) -> str:
    updates = summary["updates"][options.dataset]
    middle = options.ridges[len(options.ridges) // 2]
    seen = [_points(f"ridge {entry['ridge']:g}", entry) for entry in updates if entry["every"] == 1]
    some = [_points(_seen(entry["every"]), entry) for entry in updates if entry["ridge"] == middle]
    last = [
        _points(f"{name}, ridge {ridge_text(entry['fitted_ridge']).split(' ')[0]}", entry)
        for name, entry in summary["final"].items()
    ]
    panels = [
        ("sees every update", seen),
        (f"sees some updates (ridge {middle:g})", some),
        ("sees the final model (fitted ridge)", last),
    ]
    figure = figures.agreement(panels, "predicted AUC, mean of decile", "achieved AUC")
    path = style.save(figure, directory.file("figures/predicted_against_achieved"))
    return html.figure(
        path,
        "Achieved against predicted AUC for three attackers, with the identity",
        "Each point is a decile of examples by predicted AUC; bars are 95 % t-intervals over "
        "seeds. Dotted: prediction and achievement agree. Left and middle: the matched filter on "
        "released sums, with the noise of the ridge added. Right: final models; the ridge is "
        "fitted on the other seeds, so that only the mean of the examples is right by "
        "construction.",
    )


def _seen(every: int) -> str:
    return "every update" if every == 1 else f"one update in {every}"


def _points(label: str, entry: Mapping[str, Any]) -> figures.Agreement:
    return figures.Agreement(
        label,
        [of_bin["mean"] for of_bin in entry["predicted_by_bin"]],
        [interval(of_bin) for of_bin in entry["achieved_by_bin"]],
    )


def _threat_model(options: "Options") -> list[str]:
    return [
        "All attackers decide whether one given example was trained on, prior 1/2.",
        "Every update: sees each released sum of gradients plus Gaussian noise of variance ridge × "
        "q(1−q) per coordinate, which is really added to what this attacker sees (training goes on "
        "without it). Knows the parameters at each step, every member's gradient, the sampling "
        "rate q, and in which batches the target would be; does not know who else is in a batch.",
        "Some updates: the same attacker, who sees "
        + " or ".join(_seen(k) for k in options.every if k > 1)
        + " only and, as before, knows the parameters there.",
        f"Final model: has the outputs of the final model and of {options.shadow_models - 1} "
        "shadow models. Sees no update, and nobody adds noise: the fitted ridge stands for "
        "everything that this attacker does not see.",
    ]


def _method(options: "Options", recipes: Mapping[str, Recipe]) -> list[str]:
    trained = "; ".join(
        f"{name}: {recipe.optimizer}, learning rate {recipe.learning_rate:g}, batches of "
        f"{recipe.batch_size}, {recipe.epochs} epochs"
        for name, recipe in recipes.items()
    )
    return [
        f"Plain SGD with Poisson batches ({trained}). Predictions: per step, GNQ among all members "
        "with ridge λ, μ² = GNQ/(q(1−q)), summed over steps; AUC = Φ(μ/√2).",
        "Attack on sums: the matched filter g_jᵀ C_j⁻¹ (U − E U), which is the likelihood-ratio "
        "test of the Gaussian approximation; log-likelihood ratios add up over the steps whose "
        "batch held the example in the one real run. The sums of the other examples, whose "
        f"presence is drawn as Bernoulli(q), and the noise are redrawn {options.draws} times with "
        f"and {options.draws} times without the target at the real parameters. Members of one "
        "model per seed.",
        f"Final model: μ² is measured at {options.checkpoints} checkpoints on the members of each "
        "model and scaled to the expected number of batches that hold an example.",
    ]


_FILES = [
    "config.json: options and versions; status.json: that the run completed.",
    "summary.json: every number of this page (ridges as log10). claims.json: claims and verdicts.",
    "updates.parquet: per data set, seed, ridge, k and member: predicted μ and achieved AUC.",
    "final.parquet: per data set, seed, model and example: member, scores, μ by ridge.",
    "figures/: the figure as PNG and SVG.",
]
