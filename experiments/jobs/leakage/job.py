"""Job `leakage`: what the gradient of each layer gives away, about an attribute and the input."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from threadpoolctl import threadpool_limits

from experiments.framework.claim import write_claims
from experiments.framework.errors import as_user_error, check_option
from experiments.framework.job import run_directory
from experiments.framework.progress import progress
from experiments.inversion import SearchBudget, build_shared_updates, standardized
from experiments.jobs.leakage import analysis, claims, report, tables
from experiments.jobs.leakage.attributes import Attribute, find
from experiments.jobs.leakage.conditions import make_sweeps
from experiments.jobs.leakage.measuring import STEPS_PER_SEED, measure_seed
from experiments.jobs.leakage.observing import RANK, check_pool, draw_pool
from experiments.jobs.leakage.plan import Plan
from experiments.jobs.leakage.structure import (
    default_layers,
    fully_connected_layers,
    layers_to_drop_from,
)
from experiments.report.tables import to_terminal
from experiments.tasks.task import ModelName, Task, load_task


@dataclass(frozen=True)
class Options:
    """What each layer's gradient gives away.

    Gradients of single examples, or averaged over batches, are measured layer by layer:
    V-information and attribute inference about a private attribute, V-information, sensitivity and
    inversion about the input, and the distance between the subspaces of gradients with and without
    the attribute; against training progress, batch size, dropout and noise.

    Attributes:
        dataset: "digits" and "breast_cancer" are embedded; any other name is loaded with
            tensorflow_datasets from TFDS_DATA_DIR.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        attribute: The private attribute: "brightness" or "thickness" (of strokes) of an image,
            "parity" of a digit, "animal" (or vehicle, cifar10), "column:17" of a tabular set,
            "class:3", or "function:package.module.name", a function of a `gujax.data.Split`.
        layers: Prefixes of the parameter tree; default: every layer or block.
        seeds: Independent repeats; intervals are over them.
        train_size: Keep only so many training examples; default: all.
        examples: Training examples whose gradients are looked at, drawn anew by every seed.
        epochs: Epochs of training after which they are looked at; 0 is the untrained network.
        reference_epoch: That of `epochs` at which batch size, dropout and noise are varied.
        batch_sizes: Batch sizes to average over, beside 1.
        dropout: Dropout rates before fully connected layers, beside 0.
        noise: Standard deviations of noise on every entry of the gradient, beside 0, over the
            median norm of one example's gradient (the noise multiplier of DP-SGD that clips there).
        learning_rate: Of Adam, which trains the networks.
        batch_size: Of training.
        folds: Of the predictors of V-information and of attribute inference.
        width: Principal coordinates of a layer's gradient that predictors are given.
        input_components: Principal components of the input that predictors predict.
        subspace_dimensions: Dimensions k of the subspaces.
        sensitivity_examples: Examples whose sensitivity is measured.
        probes: Random probes per example of the sensitivity's estimate.
        victims: Examples whose gradients are inverted, one by one.
        iterations: Steps of Inverting Gradients.
        inversion_rate: Learning rate of Inverting Gradients, on standardized inputs.
        total_variation: Weight of the total variation of Inverting Gradients.
        relative_ridge: Ridge of GNQ over the mean squared gradient norm of the examples.
        out: Run directory; default: runs/leakage-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    model: ModelName = "vgg"
    hidden: tuple[int, ...] = (128,)
    attribute: str = "brightness"
    layers: tuple[str, ...] = ()
    seeds: int = 3
    train_size: int | None = None
    examples: int = 500
    epochs: tuple[int, ...] = (0, 1, 10)
    reference_epoch: int = 1
    batch_sizes: tuple[int, ...] = (4, 16)
    dropout: tuple[float, ...] = (0.5,)
    noise: tuple[float, ...] = (0.1, 1.0)
    learning_rate: float = 1e-3
    batch_size: int = 32
    folds: int = 5
    width: int = 16
    input_components: int = 8
    subspace_dimensions: tuple[int, ...] = (1, 2, 4, 8, 16)
    sensitivity_examples: int = 32
    probes: int = 16
    victims: int = 16
    iterations: int = 300
    inversion_rate: float = 0.1
    total_variation: float = 1e-2
    relative_ridge: float = 0.1
    out: Path | None = None
    overwrite: bool = False


def run(options: Options) -> int:
    """Measures what layers leak; returns the exit code."""
    _check(options)
    console = Console()
    raw = load_task(options.dataset, options.model, options.hidden, options.train_size)
    attribute = find(options.attribute, raw.dataset)
    task, space = standardized(raw)
    plan = _plan(options, task)
    _check_size(options, plan, attribute)
    (shared,) = build_shared_updates(task, ["none"])
    budget = SearchBudget(
        space, options.iterations, options.inversion_rate, options.total_variation
    )
    total = options.seeds * STEPS_PER_SEED + 1
    with run_directory("leakage", options) as directory, progress(console, total) as steps:
        # Hundreds of small decompositions: threads would only wait for each other.
        with threadpool_limits(1, user_api="blas"):
            results = [
                measure_seed(task, shared, budget, attribute, plan, seed, steps)
                for seed in range(options.seeds)
            ]
        with steps.step("tables and figures"):
            frames = tables.of_seeds(task, plan, results)
            for name, frame in frames.items():
                frame.write_parquet(directory.file(f"{name}.parquet"))
            summary = analysis.summarize(plan, frames, is_image=space.is_image)
            directory.write_json("summary.json", summary)
            tested = claims.test_claims(summary, space.is_image)
            write_claims(directory, tested)
            shown = report.write(
                directory, options, task, space, attribute, plan, summary, tested, results[0]
            )
    for table in shown:
        console.print(to_terminal(table))
    console.print(f"report: {directory.path / 'report.html'}", soft_wrap=True)
    return 0


def _plan(options: Options, task: Task) -> Plan:
    with as_user_error(ValueError):
        layers = default_layers(task.model, options.layers)
        connected = fully_connected_layers(task.model, layers)
    sweeps = make_sweeps(
        options.epochs,
        options.reference_epoch,
        options.batch_sizes,
        options.dropout,
        options.noise,
    )
    return Plan(
        sweeps=sweeps,
        layers=layers,
        fully_connected=connected,
        dropped=layers_to_drop_from(task.model),
        examples=options.examples,
        num_folds=options.folds,
        width=options.width,
        input_components=options.input_components,
        ks=options.subspace_dimensions,
        shuffles=20,
        sensitivity_examples=min(options.sensitivity_examples, options.examples),
        probes=options.probes,
        relative_ridge=options.relative_ridge,
        reference_epoch=options.reference_epoch,
        recovery_epochs=tuple(dict.fromkeys((options.epochs[0], options.reference_epoch))),
        victims=options.victims,
        learning_rate=options.learning_rate,
        batch_size=options.batch_size,
    )


def _check(options: Options) -> None:
    for name in (
        "seeds",
        "examples",
        "batch_size",
        "width",
        "input_components",
        "sensitivity_examples",
        "victims",
        "iterations",
    ):
        value = getattr(options, name)
        check_option(value >= 1, f"--{_flag(name)} {value} must be at least 1")
    check_option(options.folds >= 3, f"--folds {options.folds} must be at least 3")
    check_option(options.probes >= 2, f"--probes {options.probes} must be at least 2")
    check_option(
        len(options.epochs) > 0 and all(epoch >= 0 for epoch in options.epochs),
        f"--epochs {' '.join(map(str, options.epochs))} must be one or more numbers from 0",
    )
    check_option(
        options.reference_epoch in options.epochs,
        f"--reference-epoch {options.reference_epoch} must be one of --epochs "
        f"{' '.join(map(str, options.epochs))}",
    )
    for name, low in (("batch_sizes", 2), ("subspace_dimensions", 1)):
        for value in getattr(options, name):
            check_option(value >= low, f"--{_flag(name)} {value} must be at least {low}")
    for name, value in (
        ("width", options.width),
        ("subspace_dimensions", max(options.subspace_dimensions, default=0)),
    ):
        check_option(
            value <= RANK,
            f"--{_flag(name)} {value} is more than the {RANK} directions in which gradients are "
            "kept",
        )
    for rate in options.dropout:
        check_option(0 < rate < 1, f"--dropout {rate} must be between 0 and 1")
    for level in options.noise:
        check_option(level > 0, f"--noise {level} must be positive")
    for name in ("learning_rate", "inversion_rate", "relative_ridge"):
        value = getattr(options, name)
        check_option(value > 0, f"--{_flag(name)} {value} must be positive")
    check_option(
        options.total_variation >= 0,
        f"--total-variation {options.total_variation} must not be negative",
    )


def _check_size(options: Options, plan: Plan, attribute: Attribute) -> None:
    """Checks that there are enough examples, for every seed, before anything is computed."""
    available = len(attribute.values)
    check_option(
        options.examples <= available,
        f"--examples {options.examples}: {options.dataset} has {available} training examples here; "
        "ask for at most that many",
    )
    check_option(
        options.victims <= options.examples,
        f"--victims {options.victims} are chosen among the --examples {options.examples}; "
        "ask for at most that many",
    )
    for seed in range(options.seeds):
        with as_user_error(ValueError):
            pool = draw_pool(attribute.values, options.examples, options.folds, seed)
        check_pool(pool, options.width, max((1, *options.batch_sizes)))


def _flag(name: str) -> str:
    return name.replace("_", "-")
