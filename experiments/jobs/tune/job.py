"""Job `tune`: the hyperparameters with which `compare` runs every defense."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from rich.console import Console

from experiments.framework import checks
from experiments.framework.errors import check_option
from experiments.framework.job import run_directory
from experiments.framework.progress import progress
from experiments.jobs.tune.judging import validation_accuracy
from experiments.jobs.tune.record import search_record, table, to_json
from experiments.jobs.tune.trials import Row, Trial, all_trials, final_trials
from experiments.report.tables import to_terminal
from experiments.tasks.adaptation import adapted
from experiments.tasks.task import ModelName, Task, load_task
from gujax.training import random_halves


@dataclass(frozen=True)
class Options:
    """Search hyperparameters for every defense on one data set.

    Models are trained on random halves of the training split and judged on the other half; the
    test split is not touched. The best few of a wide search on few halves go into finals on many
    fresh ones, and the highest mean accuracy there wins. DP-SGD is given by far the largest
    search: a baseline must not lose for want of tuning.

    Attributes:
        dataset: Data set to search on.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        channels: Widths of the convnet's stages.
        train_size: Keep only so many training examples; default: all.
        repeats: Random halves per configuration of the search.
        finalists: Configurations of each defense that go into the finals.
        final_repeats: Random halves per finalist, other ones than those of the search.
        learning_rates: Learning rates of SGD with momentum, and a hundredth of them for Adam.
        batch_size: Batch size of all methods but DP-SGD.
        epochs: Passes over the data of all methods but DP-SGD.
        gate_quantile: Strength of the gate.
        clip_cap: Strength of the clip.
        epsilons: Values of ε.
        delta: δ.
        dp_learning_rates: For DP-SGD, the learning rate times the clipping norm (the length of a
            step of clipped gradients).
        dp_clips: Clipping norms.
        dp_batch_sizes: Expected batch sizes of DP-SGD.
        dp_epochs: Passes over the data of DP-SGD.
        multiplicities: Numbers of randomly shifted and flipped copies of an image that every method
            tries as one example; 0 is the image itself.
        dp_multiplicities: The same for DP-SGD.
        shift: Largest shift of a copy, in pixels.
        flip: Whether copies are flipped.
        average_decay: If positive, every configuration is judged twice: by its last parameters and
            by their moving average with this decay.
        standardize_weights: Whether kernels of convolutions are standardized; every method tries
            each value given.
        relative_ridge: Ridge of gate and clip.
        out: Run directory; default: runs/tune-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    model: ModelName = "mlp"
    hidden: tuple[int, ...] = (128,)
    channels: tuple[int, ...] = (16, 32)
    train_size: int | None = None
    repeats: int = 3
    finalists: int = 8
    final_repeats: int = 16
    learning_rates: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
    batch_size: int = 64
    epochs: int = 30
    gate_quantile: float = 0.9
    clip_cap: float = 0.01
    epsilons: tuple[float, ...] = (2.0, 8.0)
    delta: float = 1e-5
    dp_learning_rates: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
    dp_clips: tuple[float, ...] = (0.3, 1.0, 3.0)
    dp_batch_sizes: tuple[int, ...] = (64, 128, 256)
    dp_epochs: tuple[int, ...] = (30, 60)
    multiplicities: tuple[int, ...] = (0,)
    dp_multiplicities: tuple[int, ...] = (0,)
    shift: int = 2
    flip: bool = False
    average_decay: float = 0.0
    standardize_weights: tuple[bool, ...] = (False,)
    relative_ridge: float = 0.1
    out: Path | None = None
    overwrite: bool = False


def run(options: Options) -> int:
    """Runs the search; returns the exit code."""
    checks.at_least_one(options, "repeats", "finalists", "final_repeats")
    check_option(
        0 <= options.average_decay < 1,
        f"--average-decay {options.average_decay} must be at least 0 and below 1",
    )
    for name in ("multiplicities", "dp_multiplicities"):
        for value in getattr(options, name):
            flag = f"--{name.replace('_', '-')}"
            check_option(value >= 0, f"{flag} {value} must not be negative")
    check_option(options.shift >= 0, f"--shift {options.shift} must not be negative")
    console = Console()
    task = load_task(
        options.dataset, options.model, options.hidden, options.train_size, options.channels
    )
    half = len(task.dataset.train) // 2
    for name in ("batch_size", "dp_batch_sizes"):
        value = getattr(options, name)
        for size in value if isinstance(value, tuple) else (value,):
            flag = f"--{name.replace('_', '-')}"
            check_option(
                1 <= size <= half,
                f"{flag} {size} must be between 1 and {half}, half of the training examples",
            )
    trials = list(all_trials(options))
    for trial in trials:
        adapted(task, trial.recipes[0])  # says now what the data do not allow
    with run_directory("tune", options) as directory:
        search = _try_all(console, task, trials, options, "search")
        finals = _try_all(console, task, final_trials(search, options), options, "finals")
        record = search_record(options, task.model_name, search, finals)
        directory.file("recipes.json").write_text(to_json(record))
    console.print(to_terminal(table(record)))
    console.print(f"recipes: {directory.path / 'recipes.json'}", soft_wrap=True)
    return 0


def _try_all(
    console: Console,
    task: Task,
    trials: Sequence[Trial],
    options: Options,
    stage: Literal["search", "finals"],
) -> list[Row]:
    """One row per configuration, with its mean accuracy."""
    repeats, seed = (options.repeats, 1) if stage == "search" else (options.final_repeats, 2)
    halves = random_halves(jax.random.key(seed), 2 * repeats, len(task.dataset.train))
    rows: list[Row] = []
    with progress(console, len(trials)) as steps:
        for trial in trials:
            first, name = trial.recipes[0], trial.defense.label
            with steps.step(
                f"{stage}, {name}: {first.optimizer}, batch {first.batch_size}, "
                f"{first.epochs} epochs"
                + (f", {first.augmentation_multiplicity} copies" if first.augments else "")
                + (", standardized weights" if first.standardize_weights else "")
            ):
                accuracy = validation_accuracy(task, trial, np.asarray(halves)[:repeats], options)
            rows += [Row(trial.defense, *pair) for pair in zip(trial.recipes, accuracy.tolist())]
    return rows
