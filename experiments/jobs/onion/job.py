"""Job `onion`: does removing the most disclosing examples protect those who stay?

What is tested, and by which rule, is fixed in `experiments.jobs.onion.claims`.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from experiments.framework import checks
from experiments.framework.claim import write_claims
from experiments.framework.errors import check_option
from experiments.framework.job import run_directory
from experiments.framework.progress import progress
from experiments.jobs.onion import analysis, report
from experiments.jobs.onion.claims import claims
from experiments.jobs.onion.rounds import Scope, Settings, num_stages, peel
from experiments.membership import frames
from experiments.report.tables import to_terminal
from experiments.tasks.recipe import load_recipes
from experiments.tasks.task import ModelName, load_task


@dataclass(frozen=True)
class Options:
    """The privacy onion: remove the most disclosing examples, and look again, round after round.

    Models are trained with plain SGD on random halves and audited (accumulated nats of GNQ); the
    most disclosing examples are removed; the models are trained again on what is left, audited and
    attacked. As many examples removed at random, and nothing removed, are the controls.

    Attributes:
        dataset: "digits" and "breast_cancer" are embedded; any other name is loaded with
            tensorflow_datasets from TFDS_DATA_DIR.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        scopes: From what to remove: "model", each model's owner from its own training set, as GNQ's
            censoring does; "data", from the pool of all examples, as in the paper on the onion.
        rounds: Number of removals.
        fraction: Share of the remaining examples that each round removes.
        seeds: Independent repeats; intervals are over them.
        shadow_models: Models per seed (even): each is attacked with the others.
        epochs: Passes over the data; default: those of the recipe for plain SGD.
        train_size: Keep only so many training examples; default: all.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch:
            the noise that the attacker of the bound is assumed to face.
        recipes: Hyperparameters written by the `tune` job; default: those that come along.
        out: Run directory; default: runs/onion-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    model: ModelName = "mlp"
    hidden: tuple[int, ...] = (128,)
    scopes: tuple[Scope, ...] = ("model", "data")
    rounds: int = 3
    fraction: float = 0.1
    seeds: int = 5
    shadow_models: int = 16
    epochs: int | None = None
    train_size: int | None = None
    relative_ridge: float = 0.1
    recipes: Path | None = None
    out: Path | None = None
    overwrite: bool = False


def run(options: Options) -> int:
    """Runs the study; returns the exit code."""
    _check(options)
    console = Console()
    task = load_task(options.dataset, options.model, options.hidden, options.train_size)
    book = load_recipes(options.dataset, options.recipes)
    scopes = tuple(dict.fromkeys(options.scopes))
    with run_directory("onion", options) as directory:
        settings = Settings(
            options.seeds,
            options.shadow_models,
            options.rounds,
            options.fraction,
            options.relative_ridge,
        )
        total = num_stages(scopes, options.rounds) * options.seeds + 1
        recipe = book.find("sgd")
        if options.epochs is not None:
            recipe = replace(recipe, epochs=options.epochs)
        with progress(console, total) as steps:
            peeled = peel(task, recipe, scopes, settings, steps)
            with steps.step("tables and figures"):
                frames.write(directory, task, peeled.stages())
                summary = analysis.summarize(peeled, options.fraction)
                directory.write_json("summary.json", summary)
                found = claims(summary)
                write_claims(directory, found)
                tables = report.write(directory, options, task, summary, found)
    for table in tables:
        console.print(to_terminal(table))
    console.print(f"report: {directory.path / 'report.html'}", soft_wrap=True)
    return 0


def _check(options: Options) -> None:
    check_option(len(options.scopes) > 0, "--scopes is empty; name model, data or both")
    checks.at_least_one(options, "rounds", "seeds", "epochs")
    checks.shadow_models(options)
    checks.fractions(options, "fraction")
    checks.positive(options, "relative_ridge")
    check_option(
        (1 - options.fraction) ** options.rounds >= 0.2,
        f"--rounds {options.rounds} of --fraction {options.fraction} leave less than a fifth of "
        "the examples; take fewer rounds or a smaller fraction",
    )
