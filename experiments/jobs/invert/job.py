"""Job `invert`: what defenses of shared updates leave for inversion attacks to reconstruct."""

import math
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from experiments.framework import checks
from experiments.framework.claim import write_claims
from experiments.framework.errors import check_option
from experiments.framework.job import run_directory
from experiments.framework.progress import progress
from experiments.inversion import (
    SearchBudget,
    Setting,
    Space,
    analysis,
    build_shared_updates,
    check_attacks,
    check_leaves,
    runs,
    standardized,
)
from experiments.jobs.invert import claims, report
from experiments.report.tables import to_terminal
from experiments.tasks.task import ModelName, Task, load_task


@dataclass(frozen=True)
class Options:
    """Attack shared updates under every defense, and look at what comes back.

    Every defense is attacked by someone who does not know of it and by someone who does.

    Attributes:
        dataset: "digits" and "breast_cancer" are embedded; any other name is loaded with
            tensorflow_datasets from TFDS_DATA_DIR.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers; the papers' are 1024 1024.
        defenses: What to attack, each a name or "name:strength", such as gaussian:0.1; default: all
            but Laplacian noise that fit the model.
        attacks: With what: ig, adaptive, averaged, dlg, analytic, idlg, labels; all
            but idlg and labels bring "adaptive" along.
        seeds: Independent repeats; intervals are over them.
        victims: Examples attacked per seed.
        batch_size: Examples of one update, where the defense does not say.
        epochs: Train the networks for so many passes before; 0 attacks them at initialization.
        train_size: Keep only so many training examples; default: all.
        iterations: Steps of Inverting Gradients; default: what suits the model.
        learning_rate: Its learning rate, in standardized units; default: what suits the model.
        total_variation: Weight of its total variation; default: what suits the model.
        sharpness: Of the second derivative that Inverting Gradients gives to ReLU, which has none;
            0 for none, as published.
        restarts: Searches from different starts, of which the best match is kept.
        dlg_iterations: Steps of DLG.
        match: Searches match only gradients of parameters under these paths, such as
            convolutions/0.
        bottleneck_before: Layer before which PRECODE is put; default: the last one.
        early_bottleneck_before: Layer before which CVB is put; default: the second one.
        ssim_threshold: SSIM above which an image counts as reconstructed.
        reference: Examples beside the victims in the batch in which uniqueness is measured.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of that batch.
        out: Run directory; default: runs/invert-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    model: ModelName = "mlp"
    hidden: tuple[int, ...] = (256, 256)
    defenses: tuple[str, ...] | None = None
    attacks: tuple[str, ...] = ("ig", "adaptive", "averaged", "analytic", "idlg", "labels")
    seeds: int = 3
    victims: int = 16
    batch_size: int = 1
    epochs: int = 0
    train_size: int | None = None
    iterations: int | None = None
    learning_rate: float | None = None
    total_variation: float | None = None
    sharpness: float = 1.0
    restarts: int = 1
    dlg_iterations: int = 300
    match: tuple[str, ...] = ()
    bottleneck_before: str | None = None
    early_bottleneck_before: str | None = None
    ssim_threshold: float = 0.6
    reference: int = 48
    relative_ridge: float = 0.1
    out: Path | None = None
    overwrite: bool = False


_DEFENSES = (
    "none",
    "precode",
    "cvb",
    "ppp",
    "gaussian",
    "prune",
    "batch",
    "local_steps",
    "gate",
    "clip",
    "dp_sgd",
)


def run(options: Options) -> int:
    """Runs the job; returns the exit code."""
    _check(options)
    console = Console()
    task, space = standardized(
        load_task(options.dataset, options.model, options.hidden, options.train_size)
    )
    plan = _plan(options, task, space)
    total = options.seeds * len(plan.pairs) + 1
    with run_directory("invert", options) as directory, progress(console, total) as steps:
        results = runs.run(plan, steps)
        with steps.step("tables and figures"):
            results.frame.write_parquet(directory.file("examples.parquet"))
            report.save_pictures(directory, results)
            summary = analysis.summarize(plan, results)
            directory.write_json("summary.json", summary)
            found = claims.claims(summary, task.model_name)
            write_claims(directory, found)
            tables = report.write(directory, options, plan, results, summary, found)
    for table in tables:
        console.print(to_terminal(table))
    console.print(f"report: {directory.path / 'report.html'}", soft_wrap=True)
    return 0


def _plan(options: Options, task: Task, space: Space) -> runs.Plan:
    size = len(task.dataset.train)
    check_option(
        options.victims + options.reference <= size,
        f"--victims {options.victims} and --reference {options.reference} are more than the "
        f"{size} training examples; ask for fewer",
    )
    setting = Setting(
        batch_size=options.batch_size,
        before=options.bottleneck_before,
        early_before=options.early_bottleneck_before,
        relative_ridge=options.relative_ridge,
    )
    # Without convolutions there is nothing to put a convolutional bottleneck before.
    fitting = [name for name in _DEFENSES if name != "cvb" or options.model != "mlp"]
    shared_updates = build_shared_updates(task, options.defenses or fitting, setting)
    for shared in shared_updates:
        check_option(
            options.victims % shared.num_examples == 0,
            f"--victims {options.victims} must be a multiple of the {shared.num_examples} "
            f"examples that an update under '{shared.label}' is about",
        )
    budget = SearchBudget.suited(
        space,
        options.model,
        iterations=options.iterations,
        learning_rate=options.learning_rate,
        total_variation=options.total_variation,
        sharpness=options.sharpness,
        restarts=options.restarts,
        dlg_iterations=options.dlg_iterations,
        leaves=options.match,
    )
    for shared in shared_updates:
        check_leaves(shared, budget)
    return runs.Plan(
        task,
        space,
        shared_updates,
        options.attacks,
        budget,
        options.seeds,
        options.victims,
        options.reference,
        options.epochs,
        options.relative_ridge,
        options.ssim_threshold,
    )


def _check(options: Options) -> None:
    check_option(options.defenses != (), "--defenses is empty; name at least one")
    check_option(len(options.attacks) > 0, "--attacks is empty; name at least one")
    check_attacks(options.attacks)
    checks.at_least_one(
        options, "seeds", "victims", "batch_size", "iterations", "restarts", "dlg_iterations"
    )
    check_option(options.epochs >= 0, f"--epochs {options.epochs} must be at least 0")
    check_option(options.reference >= 0, f"--reference {options.reference} must be at least 0")
    checks.positive(options, "relative_ridge")
    if options.learning_rate is not None:
        checks.positive(options, "learning_rate")
    check_option(
        options.total_variation is None or options.total_variation >= 0,
        f"--total-variation {options.total_variation} must be at least 0",
    )
    check_option(
        0 <= options.sharpness < math.inf,
        f"--sharpness {options.sharpness} must be at least 0 and finite",
    )
    check_option(
        -1 <= options.ssim_threshold < 1,
        f"--ssim-threshold {options.ssim_threshold} must be at least -1 and below 1",
    )
