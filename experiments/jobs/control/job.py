"""Job `control`: gate, clip and budget against censoring, at equal accuracy."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from experiments.framework import checks
from experiments.framework.claim import write_claims
from experiments.framework.errors import check_option
from experiments.framework.job import HEADLINE, run_directory
from experiments.framework.progress import progress
from experiments.jobs.control import report as control_report
from experiments.jobs.control.analysis import summarize
from experiments.jobs.control.claims import claims
from experiments.membership import frames, runs
from experiments.membership.defenses import Defense
from experiments.membership.measured import headline
from experiments.report.tables import to_terminal
from experiments.tasks.recipe import load_recipes
from experiments.tasks.task import ModelName, load_task


@dataclass(frozen=True)
class Options:
    """Is control in the run better than removing and retraining, at equal accuracy?

    Every method is run at several strengths; what attacks find is then compared where methods cost
    the same accuracy.

    Attributes:
        dataset: "digits" and "breast_cancer" are embedded; any other name is loaded with
            tensorflow_datasets from TFDS_DATA_DIR.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        channels: Widths of the convnet's stages.
        seeds: Independent repeats; intervals are over them.
        shadow_models: Models per setting and seed (even): each is attacked with the others.
        epochs: Passes over the data, for every method; default: those of the recipes.
        train_size: Keep only so many training examples; default: all.
        gate_quantiles: The gate drops examples above these quantiles of a batch's uniqueness.
        clip_caps: The clip scales gradients so that no uniqueness exceeds these.
        budgets_nats: What the budget lets each example disclose.
        censor_fractions: Shares of each model's members that censoring removes.
        drops: Losses of accuracy, against plain SGD, at which methods are compared.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch.
        recipes: Hyperparameters written by the `tune` job; default: those that come along.
        out: Run directory; default: runs/control-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    model: ModelName = "mlp"
    hidden: tuple[int, ...] = (128,)
    channels: tuple[int, ...] = (16, 32)
    seeds: int = 5
    shadow_models: int = 16
    epochs: int | None = None
    train_size: int | None = None
    gate_quantiles: tuple[float, ...] = (0.95, 0.9, 0.7)
    clip_caps: tuple[float, ...] = (0.05, 0.01, 0.003)
    budgets_nats: tuple[float, ...] = (4.0, 2.0, 1.0)
    censor_fractions: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)
    drops: tuple[float, ...] = (0.01, 0.02, 0.04)
    relative_ridge: float = 0.1
    recipes: Path | None = None
    out: Path | None = None
    overwrite: bool = False


def run(options: Options) -> int:
    """Runs the study; returns the exit code."""
    _check(options)
    console = Console()
    task = load_task(
        options.dataset, options.model, options.hidden, options.train_size, options.channels
    )
    book = load_recipes(options.dataset, options.recipes)
    defenses = _defenses(options)
    settings = runs.Settings(
        options.seeds,
        options.shadow_models,
        options.epochs,
        options.relative_ridge,
        measured=("sgd",),
    )
    total = len(defenses) * options.seeds + 1
    with run_directory("control", options) as directory, progress(console, total) as steps:
        results = runs.train_all(task, defenses, book, settings, steps)
        with steps.step("tables and figures"):
            frames.write(directory, task, results)
            summary = summarize(results, options.drops)
            numbers = headline(summary["defenses"])
            directory.write_json("summary.json", {HEADLINE: numbers, **summary})
            found = claims(summary)
            write_claims(directory, found)
            tables = control_report.write(directory, options, task, book, summary, found)
    for table in tables:
        console.print(to_terminal(table))
    console.print(f"report: {directory.path / 'report.html'}", soft_wrap=True)
    return 0


def _defenses(options: Options) -> list[Defense]:
    return [
        Defense("SGD", "sgd"),
        *(Defense(f"gate q={q:g}", "gate", q) for q in options.gate_quantiles),
        *(Defense(f"clip {cap:g}", "clip", cap) for cap in options.clip_caps),
        *(Defense(f"budget {nats:g}", "budget", nats) for nats in options.budgets_nats),
        *(Defense(f"censor {100 * f:g} %", "censor", f) for f in options.censor_fractions),
    ]


def _check(options: Options) -> None:
    checks.at_least_one(options, "seeds", "epochs")
    checks.shadow_models(options)
    checks.fractions(options, "gate_quantiles", "censor_fractions", "drops")
    checks.positive(options, "clip_caps", "budgets_nats", "relative_ridge")
    for name in ("censor_fractions", "drops"):
        flag = f"--{name.replace('_', '-')}"
        check_option(len(getattr(options, name)) > 0, f"{flag} is empty; name at least one")
