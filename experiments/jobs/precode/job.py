"""Job `precode`: what variational bottlenecks cost in accuracy, and which attacks they stand."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from experiments.framework import checks
from experiments.framework.claim import write_claims
from experiments.framework.errors import check_option
from experiments.framework.job import run_directory
from experiments.framework.progress import progress
from experiments.inversion import (
    SearchBudget,
    Setting,
    build_shared_updates,
    check_leaves,
    runs,
    standardized,
)
from experiments.inversion.analysis import ATTACKS
from experiments.jobs.invert.report import save_pictures
from experiments.jobs.precode import analysis, claims, networks, report
from experiments.jobs.precode.training import Schedule, held_out
from experiments.report.tables import to_terminal
from experiments.tasks.task import ModelName, load_task


@dataclass(frozen=True)
class Options:
    """PRECODE, PPP and CVB: accuracy with and without them, and attacks that know of them or not.

    Every network is trained with and without each defense, from the same initial parameters and
    with the same choice of learning rates; at initialization its updates are attacked. No defense
    is shown without an attack that is adapted to it.

    Attributes:
        dataset: "digits" is embedded; any other name is loaded with tensorflow_datasets from
            TFDS_DATA_DIR.
        models: Architectures.
        hidden: Widths of the MLP's hidden layers; the papers' are 1024 1024.
        defenses: What is compared with no defense: precode, ppp:STRENGTH (noise over the rms of
            the leaves that it is added to), cvb (left out for an MLP beside another model);
            default: precode, ppp:1, and cvb for networks with convolutions.
        seeds: Independent repeats; intervals are over them.
        epochs: Passes over the data.
        batch_size: Examples per batch in training.
        learning_rates: Learning rates of Adam that are tried, for every defense.
        train_size: Keep only so many training examples; default: all.
        beta: Weight of PRECODE's KL divergence, in bits.
        early_beta: Weight of CVB's, which is a sum over positions.
        bottleneck_before: Layer before which PRECODE is put; default: the last one.
        early_bottleneck_before: Layer before which CVB is put; default: the second one.
        victims: Examples attacked per seed.
        iterations: Steps of each search; default: what suits the model.
        ssim_threshold: SSIM above which an image counts as reconstructed.
        out: Run directory; default: runs/precode-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    models: tuple[ModelName, ...] = ("mlp", "lenet")
    hidden: tuple[int, ...] = (256, 256)
    defenses: tuple[str, ...] | None = None
    seeds: int = 3
    epochs: int = 10
    batch_size: int = 64
    learning_rates: tuple[float, ...] = (1e-3, 3e-3)
    train_size: int | None = None
    beta: float = 1e-3
    early_beta: float = 1e-5
    bottleneck_before: str | None = None
    early_bottleneck_before: str | None = None
    victims: int = 16
    iterations: int | None = None
    ssim_threshold: float = 0.6
    out: Path | None = None
    overwrite: bool = False


_DEFENSES = ("precode", "ppp:1", "cvb")
_FAMILIES = ("precode", "ppp", "cvb")


def run(options: Options) -> int:
    """Runs the job; returns the exit code."""
    _check(options)
    console = Console()
    plans = [_plan(options, model) for model in dict.fromkeys(options.models)]
    schedule = Schedule(options.epochs, options.batch_size, options.learning_rates, options.seeds)
    total = sum(networks.num_steps(plan, schedule) for plan in plans) + 1
    with run_directory("precode", options) as directory, progress(console, total) as steps:
        measured = [networks.measure(plan, schedule, steps) for plan in plans]
        with steps.step("tables and figures"):
            analysis.attacks_frame(measured).write_parquet(directory.file("examples.parquet"))
            analysis.training_frame(measured).write_parquet(directory.file("training.parquet"))
            for model, network in zip(dict.fromkeys(options.models), measured):
                save_pictures(directory, network.attacked, f"pictures-{model}")
            summary = analysis.summarize(measured, schedule)
            directory.write_json("summary.json", summary)
            found = claims.claims(summary)
            write_claims(directory, found)
            tables = report.write(directory, options, measured, summary, found)
    for table in tables:
        console.print(to_terminal(table))
    console.print(f"report: {directory.path / 'report.html'}", soft_wrap=True)
    return 0


def _plan(options: Options, model: ModelName) -> runs.Plan:
    """What is done to one architecture; wrong places of bottlenecks are found here."""
    task, space = standardized(
        load_task(options.dataset, model, options.hidden, options.train_size)
    )
    size = len(task.dataset.train)
    check_option(
        options.victims <= size,
        f"--victims {options.victims} is more than the {size} training examples",
    )
    trained_on = int(np.sum(~held_out(size)))
    check_option(
        options.batch_size <= trained_on,
        f"--batch-size {options.batch_size} is more than the {trained_on} examples that are "
        "trained on; the others are held out",
    )
    setting = Setting(
        before=options.bottleneck_before,
        early_before=options.early_bottleneck_before,
        beta=options.beta,
        early_beta=options.early_beta,
    )
    names = options.defenses or _DEFENSES
    if model == "mlp" and (options.defenses is None or len(set(options.models)) > 1):
        # Without convolutions there is nothing to put a convolutional bottleneck before.
        names = tuple(name for name in names if name != "cvb")
    shared_updates = build_shared_updates(task, ("none", *names), setting)
    budget = SearchBudget.suited(space, model, iterations=options.iterations)
    for shared in shared_updates:
        check_leaves(shared, budget)
    return runs.Plan(
        task,
        space,
        shared_updates,
        ATTACKS,
        budget,
        options.seeds,
        options.victims,
        reference=0,
        epochs=0,
        relative_ridge=0.1,
        ssim_threshold=options.ssim_threshold,
    )


def _check(options: Options) -> None:
    check_option(len(options.models) > 0, "--models is empty; name at least one")
    check_option(options.defenses != (), "--defenses is empty; name at least one")
    for name in options.defenses or ():
        check_option(
            name.partition(":")[0] in _FAMILIES,
            f"--defenses {name} is none of {', '.join(_FAMILIES)}; the job `invert` has others",
        )
    checks.at_least_one(options, "seeds", "epochs", "batch_size", "victims", "iterations")
    check_option(len(options.learning_rates) > 0, "--learning-rates is empty; name at least one")
    checks.positive(options, "learning_rates")
    for name in ("beta", "early_beta"):
        value = getattr(options, name)
        check_option(value >= 0, f"--{name.replace('_', '-')} {value} must be at least 0")
    check_option(
        -1 <= options.ssim_threshold < 1,
        f"--ssim-threshold {options.ssim_threshold} must be at least -1 and below 1",
    )
