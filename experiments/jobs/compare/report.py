"""The report of the comparison: tables, figures and one HTML page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from experiments.framework.run_directory import RunDirectory
from experiments.framework.seeds import interval, number, percent
from experiments.membership.analysis import NUM_BINS, pooled_auc, pooled_mu, quantile_bins
from experiments.membership.runs import DefenseRun
from experiments.report import figures, html, style, threat_models
from experiments.report.tables import Table
from experiments.tasks.recipe import RecipeBook
from experiments.tasks.task import Task
from gujax.attacks.membership import evaluate_attack
from gujax.statistics import mean_interval

if TYPE_CHECKING:
    from experiments.jobs.compare.job import Options


def write(
    directory: RunDirectory,
    options: "Options",
    task: Task,
    book: RecipeBook,
    results: Sequence[DefenseRun],
    summary: Mapping[str, Any],
) -> list[Table]:
    """Writes figures and `report.html`; returns the tables that the terminal shows.

    Args:
        directory: The run directory.
        options: Options of the job.
        task: Data and model.
        book: Hyperparameters and the search that found them.
        results: All defenses; plain SGD first.
        summary: What `analysis.summarize` returned.
    """
    defenses = summary["defenses"]
    main = main_table(options, defenses)
    drawn = _draw(directory, task, results, summary)
    train = task.dataset.train
    sections = [
        html.section(
            "Accuracy and privacy",
            html.paragraph(_reading(defenses)),
            html.table(main),
            drawn["privacy_utility"],
            html.table(attacks_table(defenses)),
            drawn["roc"],
        ),
        html.section(
            "Threat model",
            html.paragraph(threat_models.of_attacks(options.shadow_models)),
            html.paragraph(threat_models.of_predictions(options.relative_ridge)),
        ),
    ]
    if any(entry["family"] == "censor" for entry in defenses.values()):
        sections.append(
            html.section(
                "How censored points are counted",
                html.paragraph(
                    "Censoring removes examples that were handed to the trainer. In every table "
                    "and figure of this report they count as members: the owner of a removed "
                    "example entrusted it to the trainer as any other, and the attacker, who "
                    "trains shadow models with the same defense, decides about it as about any "
                    "other. The table below leaves them out, and shows what the plain run gave "
                    "away about the same remaining examples: if the last column is not larger "
                    "than the one before, censoring did not protect those who stayed."
                ),
                html.table(censored_table(defenses)),
            )
        )
    sections += [
        html.section(
            "Is attack success higher where gradients are more unique?",
            drawn["attack_by_uniqueness"],
            html.table(_bins_table(summary, options)),
        ),
        html.section(
            "Predicted against measured attack",
            *_prediction_text(options, defenses),
            drawn["predicted_against_measured"],
            html.table(prediction_table(defenses)),
        ),
        html.section(
            "What the ridge does",
            html.paragraph(
                "The ridge is the noise that the attacker of the predictions is assumed to face, "
                "not a numerical constant: with less of it every μ grows, without it exact GNQ is "
                "infinite for almost every example of a model with more parameters than a batch "
                "has examples. Plain SGD, seed 0, trained again with other ridges; the models are "
                "the same, only what is measured changes."
            ),
            html.table(ridge_table(summary)),
        ),
        html.section(
            "Accuracy of the classes",
            drawn["class_accuracy"],
            html.table(_worst_table(defenses, task)),
        ),
    ]
    if any(entry["privacy"] for entry in defenses.values()):
        sections.append(html.section("What DP-SGD guarantees", html.table(privacy_table(defenses))))
    cost = cost_table(summary)
    sections += [
        html.section("What auditing costs", html.table(cost)),
        html.section(
            "Training",
            html.paragraph(OWN_RECIPES),
            html.paragraph(searched(task, book)),
            html.table(recipes_table(defenses)),
        ),
        html.section("Files of this run", html.bullets(_FILES)),
    ]
    lead = (
        f"{task.dataset.name}: {len(train)} training and {len(task.dataset.test)} test examples, "
        f"{task.model_name}. {options.seeds} seeds × {options.shadow_models} models per defense, "
        "each trained on a random half of the training examples. ± is the 95 % t-interval of the "
        "mean over seeds."
    )
    title = f"Privacy and accuracy of {len(defenses)} ways to train on {task.dataset.name}"
    directory.file("report.html").write_text(html.page(title, lead, sections))
    return [main, cost]


def main_table(options: "Options", defenses: Mapping[str, Any]) -> Table:
    """Accuracy and the main attack, one row per defense."""
    rows = []
    for label, entry in defenses.items():
        lira = entry["attacks"]["lira"]
        rows.append(
            [
                label,
                percent(entry["test_accuracy"]),
                percent(entry["worst_class_accuracy"]),
                percent(lira["tpr_at_1pct"], 2),
                percent(lira["tpr_at_01pct"], 2),
                number(lira["auc"], 3),
            ]
        )
    return Table(
        f"Accuracy and LiRA on {options.dataset} (percent, but for AUC)",
        ("defense", "accuracy", "worst class", "TPR@1 %", "TPR@0.1 %", "AUC"),
        rows,
        f"Mean ± 95 % t-interval over {options.seeds} seeds. TPR at 1 % and 0.1 % FPR; guessing "
        "has TPR = FPR and AUC 0.5. Censored points count as members. Gate, clip and censoring "
        f"use GNQ with a ridge of {options.relative_ridge:g} × the mean squared gradient norm of "
        "the batch.",
    )


def attacks_table(defenses: Mapping[str, Any]) -> Table:
    """The three attacks beside one another."""
    rows = []
    for label, entry in defenses.items():
        cells = [label]
        for attack in ("lira", "rmia", "loss"):
            measured = entry["attacks"][attack]
            cells += [percent(measured["tpr_at_1pct"], 2), number(measured["auc"], 3)]
        cells.append(percent(entry["attacks"]["lira"]["balanced_accuracy"], 1))
        rows.append(cells)
    return Table(
        "Three attacks: TPR at 1 % FPR (percent) and AUC",
        (
            "defense",
            "LiRA TPR",
            "LiRA AUC",
            "RMIA TPR",
            "RMIA AUC",
            "loss TPR",
            "loss AUC",
            "LiRA balanced acc.",
        ),
        rows,
    )


def censored_table(defenses: Mapping[str, Any]) -> Table:
    """LiRA with the censored points as members, without them, and before censoring."""
    rows = []
    for label, entry in defenses.items():
        if entry["family"] != "censor":
            continue
        counted, kept, before = entry["attacks"]["lira"], entry["kept"], entry["kept_in_plain_sgd"]
        rows.append(
            [
                label,
                percent(counted["tpr_at_1pct"], 2),
                percent(kept["tpr_at_1pct"], 2),
                percent(before["tpr_at_1pct"], 2),
                number(counted["auc"], 3),
                number(kept["auc"], 3),
                number(before["auc"], 3),
            ]
        )
    return Table(
        "LiRA with and without the censored points (TPR at 1 % FPR in percent; AUC)",
        (
            "defense",
            "TPR, all",
            "TPR, kept",
            "kept, plain SGD",
            "AUC, all",
            "AUC, kept",
            "kept, plain SGD",
        ),
        rows,
        "All: removed examples are members, as in the other tables. Kept: they are left out. Plain "
        "SGD: the attack before censoring, on the same kept examples.",
    )


def prediction_table(defenses: Mapping[str, Any]) -> Table:
    """What composed μ predicts, beside what LiRA measured."""
    rows = []
    for label, entry in defenses.items():
        prediction, lira = entry["prediction"], entry["attacks"]["lira"]
        scale = prediction["scale"]
        rows.append(
            [
                label,
                f"{prediction['median_mu']:.3g}",
                f"{prediction['predicted_auc']:.3f}",
                f"{prediction['measured_auc']:.3f}",
                f"{100 * prediction['predicted_tpr_at_1pct']:.1f}",
                f"{100 * lira['tpr_at_1pct']['mean']:.2f}",
                _plain_number(prediction["spearman"], 2),
                "–" if scale is None else f"{scale:.2g}",
            ]
        )
    return Table(
        "Predicted and measured attack",
        (
            "defense",
            "median μ",
            "predicted AUC",
            "measured AUC per example",
            "predicted TPR at 1 % FPR (%)",
            "measured TPR at 1 % FPR (%)",
            "Spearman of μ and AUC",
            "factor on μ that matches",
        ),
        rows,
        "Predictions and AUC per example are means over the training examples. The factor is "
        "fitted to the same data; – where the attack does not beat guessing.",
    )


def ridge_table(summary: Mapping[str, Any]) -> Table:
    """How the ridge changes what is measured, in plain SGD."""
    rows = []
    for entry in summary["ridges"]:
        prediction = entry["prediction"]
        scale = prediction["scale"]
        rows.append(
            [
                f"{entry['relative_ridge']:g}",
                f"{entry['median_nats']:.3g}",
                f"{entry['max_nats']:.3g}",
                f"{prediction['median_mu']:.3g}",
                f"{prediction['predicted_auc']:.3f}",
                f"{prediction['measured_auc']:.3f}",
                _plain_number(prediction["spearman"], 2),
                "–" if scale is None else f"{scale:.2g}",
            ]
        )
    return Table(
        "Plain SGD under several ridges (one seed)",
        (
            "relative ridge",
            "median nats",
            "largest nats",
            "median μ",
            "predicted AUC",
            "measured AUC",
            "Spearman of μ and AUC",
            "factor on μ that matches",
        ),
        rows,
        "Ridges are relative to the mean squared gradient norm of the batch.",
    )


def privacy_table(defenses: Mapping[str, Any]) -> Table:
    """The accounting of DP-SGD."""
    rows = []
    for label, entry in defenses.items():
        if privacy := entry["privacy"]:
            rows.append(
                [
                    label,
                    f"{privacy['epsilon']:.3f}",
                    f"{privacy['delta']:g}",
                    f"{privacy['sampling_rate']:.4f}",
                    str(privacy["steps"]),
                    f"{privacy['l2_norm_clip']:g}",
                    f"{privacy['noise_multiplier']:.3f}",
                    str(entry["overflow"]),
                ]
            )
    return Table(
        "DP-SGD: the guarantee for adding or removing one example",
        (
            "defense",
            "ε spent",
            "δ",
            "sampling rate",
            "steps",
            "L2 clip",
            "noise multiplier",
            "examples cut from batches",
        ),
        rows,
        "Poisson sampling, noise on the sum, division by the expected batch size; ε by the "
        "privacy-loss distribution of the composed subsampled Gaussian mechanism. The guarantee "
        "does not cover the search of hyperparameters. A batch that outgrew its physical size "
        "would be cut; the last column counts the examples cut in all runs.",
    )


def cost_table(summary: Mapping[str, Any]) -> Table:
    """Time and memory of a step relative to the plain one."""
    rows = []
    for model, steps in summary["cost"].items():
        for step, cost in steps.items():
            memory = cost["memory_mib"]
            rows.append(
                [
                    step,
                    model,
                    f"{cost['milliseconds']:.3g}",
                    f"{cost['relative']:.2f}×",
                    "–" if memory is None else f"{memory:.2f}",
                ]
            )
    return Table(
        "Cost of one training step: time, relative time, temporary memory",
        ("step", "model and batch", "ms", "relative", "MiB"),
        rows,
        "Medians of interleaved samples in one process. Plain is the gradient of the mean loss, "
        "nothing per example. Memory is what the compiled step allocates beside its inputs and "
        "outputs. On a small model the work on the B × B Gram matrix, which does not depend on "
        "the model, outweighs the step itself.",
    )


def _draw(
    directory: RunDirectory, task: Task, results: Sequence[DefenseRun], summary: Mapping[str, Any]
) -> dict[str, str]:
    """Draws and saves every figure; returns their HTML by name."""
    entries = list(summary["defenses"].values())
    labels = [result.defense.label for result in results]
    families = [result.defense.family for result in results]

    def inline(name: str, figure, alt: str, caption: str) -> str:
        path = style.save(figure, directory.file(f"figures/{name}"))
        return html.figure(path, alt, caption)

    accuracy = [interval(entry["test_accuracy"]) for entry in entries]
    tpr = [interval(entry["attacks"]["lira"]["tpr_at_1pct"]) for entry in entries]
    positions = list(range(1, NUM_BINS + 1))
    lines = []
    for label, family, entry in zip(labels, families, entries):
        intervals = [interval(of_bin) for of_bin in entry["auc_by_bin"]]
        mean, low, high = zip(*intervals)
        lines.append(figures.Series(label, family, positions, mean, low, high))
    curves = [_roc(result) for result in results]
    classes = [[interval(of_class) for of_class in entry["class_accuracy"]] for entry in entries]
    return {
        "privacy_utility": inline(
            "privacy_utility",
            figures.privacy_utility(labels, families, accuracy, tpr, 0.01, "LiRA"),
            "Test accuracy against LiRA's true positive rate at 1 % false positives",
            "Test accuracy against what LiRA achieves at 1 % false positives. Bars are 95 % "
            "t-intervals over seeds, in both directions. Censored points count as members.",
        ),
        "roc": inline(
            "roc",
            figures.roc_curves(labels, families, *zip(*curves)),
            "ROC curves of LiRA on logarithmic axes",
            "LiRA's ROC curve under every defense, pooled over seeds, models and examples.",
        ),
        "attack_by_uniqueness": inline(
            "attack_by_uniqueness",
            figures.attack_by_uniqueness(
                lines, 0.5, "decile of the nats that an example accumulates in plain SGD"
            ),
            "Attack success over deciles of accumulated nats",
            "LiRA's AUC on single examples, averaged over deciles of the nats that the examples "
            "accumulate in plain SGD (10: most). The same examples are in the same decile for "
            "every defense, so panels show who is protected; the grey line is plain SGD. Bands "
            "are 95 % t-intervals over seeds.",
        ),
        "predicted_against_measured": inline(
            "predicted_against_measured",
            _predicted_figure(results[0], entries[0]["prediction"]["scale"]),
            "Measured AUC per example against composed μ",
            "Plain SGD, one grey dot per training example: the μ composed over the run (root mean "
            "square over models) and the AUC that LiRA reached on it. Dark: means over deciles of "
            "μ with 95 % t-intervals over seeds.",
        ),
        "class_accuracy": inline(
            "class_accuracy",
            figures.class_accuracy(task.class_names, labels, families, classes),
            "Test accuracy by class",
            "Test accuracy of each class, mean over models; bars are 95 % t-intervals over seeds.",
        ),
    }


def _predicted_figure(plain: DefenseRun, scale: float | None):
    mu, measured = pooled_mu(plain.seeds), pooled_auc(plain.seeds)
    bins = quantile_bins(mu)
    per_seed = [pooled_auc([run]) for run in plain.seeds]
    intervals = [
        mean_interval(np.array([of_seed[bins == b].mean() for of_seed in per_seed]))
        for b in range(NUM_BINS)
    ]
    centers = [float(np.median(mu[bins == b])) for b in range(NUM_BINS)]
    line = figures.Series("LiRA, deciles of μ", "sgd", centers, *zip(*intervals))
    grid = np.geomspace(max(mu.min(), mu.max() / 1e4), mu.max(), 200)
    curves = [("predicted: Φ(μ/√2)", grid, stats.norm.cdf(grid / np.sqrt(2)))]
    if scale is not None:
        name = f"predicted with μ × {scale:.2g} (fitted)"
        curves.append((name, grid, stats.norm.cdf(scale * grid / np.sqrt(2))))
    return figures.predicted_against_measured(mu, measured, line, curves)


def _roc(result: DefenseRun) -> tuple[np.ndarray, np.ndarray]:
    scores = np.concatenate([run.outputs.scores["lira"] for run in result.seeds])
    members = np.concatenate([run.members for run in result.seeds])
    measured = evaluate_attack(scores, members, num_resamples=0)
    # Some hundred points draw the curve as well as all of them do.
    grid = np.geomspace(1e-4, 1, 400)
    return grid, np.interp(grid, measured.fpr, measured.tpr)


def _reading(defenses: Mapping[str, Any]) -> str:
    """The table in a few sentences."""

    def accuracy(label: str) -> float:
        return 100 * defenses[label]["test_accuracy"]["mean"]

    def tpr(label: str) -> float:
        return 100 * defenses[label]["attacks"]["lira"]["tpr_at_1pct"]["mean"]

    first, *others = defenses
    text = (
        f"Models trained with {first} reach {accuracy(first):.1f} % test accuracy, and LiRA "
        f"finds {tpr(first):.1f} % of their members while accusing 1 % of the others."
    )
    halved = [label for label in others if tpr(label) <= tpr(first) / 2]
    if not halved:
        return text + " No defense here halves that."
    best = max(halved, key=accuracy)
    return text + (
        f" Of the defenses that at least halve this ({', '.join(halved)}), {best} keeps the most "
        f"accuracy: {accuracy(best):.1f} %, at {tpr(best):.1f} % found."
    )


def _prediction_text(options: "Options", defenses: Mapping[str, Any]) -> list[str]:
    texts = [
        "μ composes over the steps of a run as the root of the sum of squares; from it "
        "follow the AUC and TPR of the best attack by someone who sees every update. LiRA "
        "sees the final model only, so it should stay below the prediction; how far below "
        "says how much the final model forgets and how strong the assumed noise is. Ridge: "
        f"{options.relative_ridge:g} × mean squared gradient norm (DP-SGD: its own noise), "
        "inclusion probability 1/2."
    ]
    exceeded = [
        f"{label} ({100 * measured:.1f} % of members found at 1 % false positives, "
        f"{100 * predicted:.1f} % predicted)"
        for label, entry in defenses.items()
        if (measured := entry["attacks"]["lira"]["tpr_at_1pct"]["mean"])
        > (predicted := entry["prediction"]["predicted_tpr_at_1pct"])
    ]
    if exceeded:
        texts.append(
            "LiRA does better than predicted on " + " and ".join(exceeded) + ". Except for "
            "DP-SGD, the prediction assumes noise that nobody adds: a defense that scales "
            "gradients down makes them small beside that noise, but the optimizer scales them up "
            "again, and the final model shows them undisturbed."
        )
    return [html.paragraph(text) for text in texts]


def _bins_table(summary: Mapping[str, Any], options: "Options") -> Table:
    columns = ["decile", *(str(b + 1) for b in range(NUM_BINS))]
    nats = [f"{of_bin['mean']:.3g}" for of_bin in summary["bins"]["mean_nats"]]
    rows = [["nats in plain SGD", *nats]]
    rows += [
        [label, *(f"{of_bin['mean']:.3f}" for of_bin in entry["auc_by_bin"])]
        for label, entry in summary["defenses"].items()
    ]
    return Table(
        "LiRA's AUC per example, by decile of the nats accumulated in plain SGD",
        columns,
        rows,
        f"Nats with relative ridge {options.relative_ridge:g}; they add up over steps and may "
        "exceed ln 2 ≈ 0.69, the entropy of membership, which caps what is disclosed. An AUC a "
        "little below 0.5 is no protection beyond guessing: an example's own model is left out of "
        "its shadow models, which biases LiRA downwards when these are few.",
    )


def _worst_table(defenses: Mapping[str, Any], task: Task) -> Table:
    rows = []
    for label, entry in defenses.items():
        means = [of_class["mean"] for of_class in entry["class_accuracy"]]
        rows.append(
            [
                label,
                percent(entry["test_accuracy"]),
                percent(entry["worst_class_accuracy"]),
                task.class_names[int(np.argmin(means))],
            ]
        )
    return Table(
        "Accuracy of the worst class (percent)",
        ("defense", "all classes", "worst class of each seed", "most often"),
        rows,
        "Class accuracies are means over a seed's models; the worst class is chosen per seed. The "
        "last column names the class with the lowest mean over seeds.",
    )


OWN_RECIPES = (
    "Every defense has its own hyperparameters, found by a search on examples that the models were "
    "not trained on: the other half of the training split. Censoring trains as plain SGD does."
)


def searched(task: Task, book: RecipeBook) -> str:
    """Where the hyperparameters of a task come from, in sentences."""
    search, name = book.search, task.dataset.name
    text = "Hyperparameters were given without a record of their search."
    if command := search.get("command"):
        tried = ", ".join(f"{key} {count}" for key, count in search["tried"].items())
        text = (
            f"Search on {book.dataset}: {command}. Configurations tried: {tried}. Selected by: "
            f"{search['selected_by']}."
        )
    elsewhere = [book.dataset] if book.dataset != name else []
    if (model := search.get("model", task.model_name)) != task.model_name:
        elsewhere.append(model)
    if elsewhere:
        text += (
            f" There is no search for {name} with this model: these were tuned on "
            f"{' with '.join(elsewhere)}, and accuracies may be below what each defense can reach."
        )
    return text


def recipes_table(defenses: Mapping[str, Any]) -> Table:
    """Hyperparameters of every defense."""
    rows = []
    for label, entry in defenses.items():
        recipe = entry["recipe"]
        rows.append(
            [
                label,
                recipe["optimizer"],
                f"{recipe['learning_rate']:g}",
                "cosine" if recipe["cosine_decay"] else "constant",
                str(recipe["batch_size"]),
                str(recipe["epochs"]),
                _or_dash(recipe["l2_norm_clip"]),
                _or_dash(recipe["augmentation_multiplicity"]),
                _or_dash(recipe["average_decay"]),
                "yes" if recipe["standardize_weights"] else "–",
            ]
        )
    return Table(
        "Hyperparameters",
        (
            "defense",
            "optimizer",
            "learning rate",
            "schedule",
            "batch size",
            "epochs",
            "L2 clip",
            "copies",
            "averaging",
            "standardized weights",
        ),
        rows,
        "Copies: shifted and flipped ones whose mean loss is one example's. Averaging: decay of "
        "the moving average of the parameters that is evaluated.",
    )


_FILES = [
    "config.json: options and versions; status.json: that the run completed.",
    "summary.json: every number of this page.",
    "scores.parquet: per defense, seed, model and training example: member, removed, nats, μ, "
    "scores of LiRA, RMIA and loss threshold.",
    "per_example.parquet: per defense, seed and training example: label, subgroup, accumulated "
    "GNQ, nats, μ (over the models given the example), attack score and AUC, share of those "
    "models from which it was removed.",
    "ridges.parquet: nats and μ of plain SGD under other ridges, per model and training example.",
    "test_accuracy.parquet: per defense, seed, model and class: test examples and how many are "
    "classified correctly.",
    "steps.parquet: per defense, seed and step, mean over models: loss, batch size, contributing "
    "examples, largest GNQ.",
    "figures/: every figure as PNG and SVG.",
]


def _plain_number(value: float, digits: int) -> str:
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def _or_dash(value: float | None) -> str:
    return f"{value:g}" if value else "–"
