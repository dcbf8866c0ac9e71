"""Job `censoring`: remove and retrain against DP-SGD, on several data sets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.framework import checks
from experiments.framework.claim import write_claims
from experiments.framework.errors import check_option
from experiments.framework.job import HEADLINE, run_directory
from experiments.framework.progress import progress
from experiments.jobs.censoring import claims as censoring_claims
from experiments.jobs.censoring import report as censoring_report
from experiments.jobs.censoring.analysis import summarize
from experiments.jobs.censoring.cases import Kinds, Sizes, load_cases
from experiments.membership import frames, runs
from experiments.membership.defenses import Defense
from experiments.membership.measured import headline
from experiments.report.tables import to_terminal
from experiments.tasks.recipe import load_recipes


@dataclass(frozen=True)
class Options:
    """Compare censoring with DP-SGD: accuracy against attacks that know the defense.

    Censoring audits a model, removes the members that disclosed most and trains again. LiRA and
    RMIA attack every model, the others, trained with the same defense, serving as its shadow
    models. Colour images are learned by a convnet, everything else by an MLP.

    Attributes:
        datasets: Names as `compare` takes them; default: digits, mnist10k and bangkok_locations, of
            which those that cannot be loaded are left out. A larger one is cifar10_jpeg.
        seeds: Independent repeats; intervals are over them.
        shadow_models: Models per defense and seed (even): each is attacked with the others.
        train_size: Keep at most so many training examples.
        convnet_shadow_models: The same for the convnet, which trains more slowly.
        convnet_train_size: The same for the convnet.
        convnet_epochs: The same for the convnet.
        test_size: Keep at most so many test examples.
        hidden: Widths of the MLP's hidden layers.
        channels: Widths of the convnet's stages.
        epochs: Passes over the data with the MLP, for every defense; default: the recipes'.
        fractions: Shares of each model's members that censoring removes.
        tested_fraction: The one of them that the claims are about.
        epsilons: Values of ε for DP-SGD.
        delta: δ of DP-SGD.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch.
        out: Run directory; default: runs/censoring-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    datasets: tuple[str, ...] | None = None
    seeds: int = 5
    shadow_models: int = 16
    train_size: int = 2000
    convnet_shadow_models: int = 8
    convnet_train_size: int = 1000
    convnet_epochs: int | None = 15
    test_size: int = 2000
    hidden: tuple[int, ...] = (128,)
    channels: tuple[int, ...] = (8, 16)
    epochs: int | None = None
    fractions: tuple[float, ...] = (0.01, 0.1, 0.2)
    tested_fraction: float = 0.1
    epsilons: tuple[float, ...] = (2.0, 8.0)
    delta: float = 1e-5
    relative_ridge: float = 0.1
    out: Path | None = None
    overwrite: bool = False


def run(options: Options) -> int:
    """Runs the study; returns the exit code."""
    _check(options)
    console = Console()
    kinds = Kinds(
        options.hidden,
        options.channels,
        Sizes(options.train_size, options.shadow_models, options.epochs),
        Sizes(options.convnet_train_size, options.convnet_shadow_models, options.convnet_epochs),
        options.test_size,
    )
    cases = load_cases(options.datasets, kinds, console)
    books = {case.task.dataset.name: load_recipes(case.task.dataset.name) for case in cases}
    defenses = [
        Defense("SGD", "sgd"),
        *(Defense(f"censor {100 * share:g} %", "censor", share) for share in options.fractions),
        *(
            Defense(f"DP-SGD ε={epsilon:g}", "dp_sgd", epsilon, options.delta)
            for epsilon in options.epsilons
        ),
    ]
    with run_directory("censoring", options) as directory:
        summary = {}
        with progress(console, len(cases) * (len(defenses) * options.seeds + 1)) as steps:
            for case in cases:
                name = case.task.dataset.name
                settings = runs.Settings(
                    options.seeds,
                    case.sizes.shadow_models,
                    case.sizes.epochs,
                    options.relative_ridge,
                    measured=("sgd",),
                )
                results = runs.train_all(case.task, defenses, books[name], settings, steps)
                with steps.step(f"{name}: tables"):
                    frames.write(directory, case.task, results, name)
                    summary[name] = summarize(case, results)
        numbers: dict[str, Any] = {}
        for name, of_dataset in summary.items():
            numbers |= headline(of_dataset["defenses"], f"{name}, ")
        directory.write_json("summary.json", {HEADLINE: numbers, **summary})
        found = censoring_claims.claims(summary, options.tested_fraction)
        write_claims(directory, found)
        tables = censoring_report.write(directory, options, cases, books, summary, found)
    for table in tables:
        console.print(to_terminal(table))
    console.print(f"report: {directory.path / 'report.html'}", soft_wrap=True)
    return 0


def _check(options: Options) -> None:
    check_option(options.datasets != (), "--datasets is empty; name at least one")
    checks.at_least_one(
        options,
        "seeds",
        "epochs",
        "convnet_epochs",
        "train_size",
        "convnet_train_size",
        "test_size",
    )
    checks.shadow_models(options, "shadow_models", "convnet_shadow_models")
    checks.fractions(options, "fractions", "delta")
    checks.positive(options, "epsilons", "relative_ridge")
    check_option(
        options.tested_fraction in options.fractions,
        f"--tested-fraction {options.tested_fraction} must be one of --fractions",
    )
    check_option(len(options.epsilons) > 0, "--epsilons is empty; name at least one")
