"""Job `monotone`: is an attack the more successful, the more unique an example's gradient is?"""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from experiments.framework.claim import write_claims
from experiments.framework.errors import check_option
from experiments.framework.job import run_directory
from experiments.framework.progress import progress
from experiments.jobs.monotone import analysis, claims, estimators, frames, report, runs
from experiments.report.tables import to_terminal
from experiments.tasks.recipe import fit, load_recipes
from experiments.tasks.task import ModelName, load_task

MIN_EXAMPLES = 60  # two per decile and stratum


@dataclass(frozen=True)
class Options:
    """Attack success over quantiles of gradient uniqueness, for several ways to measure it.

    Plain SGD trains random halves of the data. Every batch is measured by all estimators; LiRA and
    a loss threshold attack the final models. Where success falls before it rises (a U-curve),
    examples are compared within strata of equal gradient norm or loss.

    Attributes:
        dataset: "digits" and "breast_cancer" are embedded; any other name is loaded with
            tensorflow_datasets from TFDS_DATA_DIR.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        seeds: Independent repeats; intervals are over them.
        shadow_models: Models per seed (even): each is attacked with the others.
        epochs: Passes over the data; default: those of the recipe.
        train_size: Keep only so many training examples; default: all.
        relative_ridge: Main ridge of exact GNQ over the mean squared gradient norm: the noise that
            the attacker of the bound is assumed to face.
        other_ridges: Further ridges of exact GNQ per batch.
        diagonal_ridges: What the diagonal GNQ of v1 adds to each coordinate's second moment, over
            the mean squared gradient norm.
        checkpoints: Epochs after which GNQ is measured among the whole data set, evenly spread.
        recipes: Hyperparameters written by the `tune` job; default: those that come along.
        out: Run directory; default: runs/monotone-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    model: ModelName = "mlp"
    hidden: tuple[int, ...] = (128,)
    seeds: int = 5
    shadow_models: int = 16
    epochs: int | None = None
    train_size: int | None = None
    relative_ridge: float = 0.1
    other_ridges: tuple[float, ...] = (0.01, 1.0)
    diagonal_ridges: tuple[float, ...] = (1e-6, 0.1)
    checkpoints: int = 3
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
        num_examples >= MIN_EXAMPLES,
        f"{num_examples} training examples are too few for deciles; give at least {MIN_EXAMPLES}",
    )
    book = load_recipes(options.dataset, options.recipes)
    recipe = fit(book.find("sgd"), num_examples // 2, options.epochs)
    chosen = estimators.chosen(
        options.relative_ridge, options.other_ridges, options.diagonal_ridges
    )
    settings = runs.Settings(options.shadow_models, options.checkpoints, chosen)
    make_optimizer = runs.measured_sgd(task, recipe, settings)
    with run_directory("monotone", options) as directory:
        results = []
        with progress(console, options.seeds + 1) as steps:
            for seed in range(options.seeds):
                with steps.step(f"training, measuring, attacking: seed {seed}"):
                    results.append(runs.run_seed(task, recipe, settings, make_optimizer, seed))
            with steps.step("tables and figures"):
                seeds = [analysis.per_example(result) for result in results]
                frames.write(directory, task, results, seeds)
                summary = analysis.summarize(
                    seeds, [float(result.outputs.test_correct.mean()) for result in results]
                )
                directory.write_json("summary.json", summary)
                tested = claims.claims(summary)
                write_claims(directory, tested)
                tables = report.write(directory, options, task, recipe, summary, tested)
    for table in tables:
        console.print(to_terminal(table))
    console.print(f"report: {directory.path / 'report.html'}", soft_wrap=True)
    return 0


def _check(options: Options) -> None:
    check_option(options.seeds >= 1, f"--seeds {options.seeds} must be at least 1")
    check_option(
        options.shadow_models >= 4 and options.shadow_models % 2 == 0,
        f"--shadow-models {options.shadow_models} must be even and at least 4",
    )
    check_option(
        options.epochs is None or options.epochs >= 1,
        f"--epochs {options.epochs} must be at least 1",
    )
    check_option(
        options.checkpoints >= 1, f"--checkpoints {options.checkpoints} must be at least 1"
    )
    check_option(
        options.relative_ridge > 0, f"--relative-ridge {options.relative_ridge} must be positive"
    )
    check_option(len(options.diagonal_ridges) > 0, "--diagonal-ridges is empty; name at least one")
    for name in ("other_ridges", "diagonal_ridges"):
        for ridge in getattr(options, name):
            check_option(ridge > 0, f"--{name.replace('_', '-')} {ridge} must be positive")
