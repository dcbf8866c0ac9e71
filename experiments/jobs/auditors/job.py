"""Job `auditors`: what different auditors say about the same DP-SGD runs."""

import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from experiments.framework.claim import write_claims
from experiments.framework.errors import check_option
from experiments.framework.job import run_directory
from experiments.framework.progress import progress
from experiments.jobs.auditors import analysis, claims, frames, report, runs
from experiments.report.tables import to_terminal
from experiments.tasks.recipe import check_plain, fit, load_recipes
from experiments.tasks.task import ModelName, load_task


@dataclass(frozen=True)
class Options:
    """GNQ's bound, the one-run audit, LiRA and the accountant on the same DP-SGD runs.

    Canaries, examples with a wrong label, are put into every training set by fair coins.

    Attributes:
        dataset: "digits" and "breast_cancer" are embedded; any other name is loaded with
            tensorflow_datasets from TFDS_DATA_DIR.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        seeds: Independent repeats; intervals are over them.
        shadow_models: Models per seed and ε (even): LiRA attacks each with the others.
        epochs: Passes over the data; default: those of the recipes.
        train_size: Keep only so many training examples; default: all.
        epsilons: Values of ε for DP-SGD.
        delta: δ of DP-SGD and of every auditor.
        canaries: How many training examples are canaries.
        guesses: How many canaries the one-run audit guesses to be included.
        significance: Probability with which each lower bound may be wrong.
        recipes: Hyperparameters written by the `tune` job; default: those that come along.
        out: Run directory; default: runs/auditors-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    model: ModelName = "mlp"
    hidden: tuple[int, ...] = (128,)
    seeds: int = 5
    shadow_models: int = 16
    epochs: int | None = None
    train_size: int | None = None
    epsilons: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    delta: float = 1e-5
    canaries: int = 300
    guesses: int = 60
    significance: float = 0.05
    recipes: Path | None = None
    out: Path | None = None
    overwrite: bool = False


def run(options: Options) -> int:
    """Runs the study; returns the exit code."""
    _check(options)
    console = Console()
    task = load_task(options.dataset, options.model, options.hidden, options.train_size)
    num_examples = len(task.dataset.train)
    check_option(
        options.canaries < num_examples,
        f"--canaries {options.canaries} must be less than the {num_examples} training examples",
    )
    book = load_recipes(options.dataset, options.recipes)
    recipes = {
        # Sampling must leave room for chance: a batch is at most a quarter of the examples.
        epsilon: fit(book.find("dp_sgd", epsilon), num_examples // 4, options.epochs)
        for epsilon in options.epsilons
    }
    for epsilon, recipe in recipes.items():
        check_plain(recipe, f"ε={epsilon:g}")
    settings = runs.Settings(options.shadow_models, options.canaries, options.delta)
    with run_directory("auditors", options) as directory:
        results: dict[float, list[runs.AuditedRun]] = {}
        guarantees = {}
        total = len(options.epsilons) * (options.seeds + 1) + 1
        with progress(console, total) as steps:
            for epsilon, recipe in recipes.items():
                began = time.perf_counter()
                with steps.step(f"ε={epsilon:g}: accounting"):
                    trained_by = runs.trainers(recipe, epsilon, settings, num_examples)
                guarantees[epsilon] = trained_by.privacy, time.perf_counter() - began
                results[epsilon] = []
                for seed in range(options.seeds):
                    with steps.step(f"ε={epsilon:g}: training and auditing, seed {seed}"):
                        results[epsilon].append(
                            runs.run_seed(task, recipe, trained_by, settings, seed)
                        )
            with steps.step("bounds, tables and figures"):
                frames.write(directory, results)
                entries = analysis.summarize(
                    results, guarantees, settings, options.guesses, options.significance
                )
                directory.write_json("summary.json", {"epsilons": entries})
                tested = claims.claims(entries)
                write_claims(directory, tested)
                tables = report.write(directory, options, task, recipes, entries, tested)
    for table in tables:
        console.print(to_terminal(table))
    console.print(f"report: {directory.path / 'report.html'}", soft_wrap=True)
    return 0


def _check(options: Options) -> None:
    check_option(options.seeds >= 1, f"--seeds {options.seeds} must be at least 1")
    check_option(
        options.shadow_models >= 6 and options.shadow_models % 2 == 0,
        f"--shadow-models {options.shadow_models} must be even and at least 6",
    )
    check_option(
        options.epochs is None or options.epochs >= 1,
        f"--epochs {options.epochs} must be at least 1",
    )
    check_option(len(options.epsilons) > 0, "--epsilons is empty; name at least one")
    for epsilon in options.epsilons:
        check_option(epsilon > 0, f"--epsilons {epsilon} must be positive")
    check_option(0 < options.delta < 1, f"--delta {options.delta} must be between 0 and 1")
    check_option(
        0 < options.significance < 0.5,
        f"--significance {options.significance} must be between 0 and 0.5",
    )
    check_option(options.canaries >= 10, f"--canaries {options.canaries} must be at least 10")
    check_option(
        1 <= options.guesses <= options.canaries,
        f"--guesses {options.guesses} must be between 1 and --canaries {options.canaries}",
    )
