"""Job `calibration`: is the predicted attack the one that is achieved, and under which ridge?"""

from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_limits

from experiments.framework.claim import write_claims
from experiments.framework.errors import check_option
from experiments.framework.job import run_directory
from experiments.framework.progress import progress
from experiments.jobs.calibration import analysis, claims, final, frames, release, report
from experiments.report.tables import to_terminal
from experiments.tasks.recipe import check_plain, fit, load_recipes
from experiments.tasks.task import ModelName, Task, load_task

# Ridges to predict for: between them predictions are interpolated.
GRID = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4)
MIN_EXAMPLES = 40  # two per decile, in each half


@dataclass(frozen=True)
class Options:
    """Predicted against achieved attacks, by what the attacker sees.

    Every update of a real run through the noise that the ridge stands for, every k-th update, or
    only the final model. For each it is asked which ridge makes the prediction agree, and whether
    a ridge that was fitted on some final models holds for other examples, models, seeds and data.

    Attributes:
        dataset: "digits" and "breast_cancer" are embedded; any other name is loaded with
            tensorflow_datasets from TFDS_DATA_DIR.
        other_datasets: Data sets to which fitted ridges are carried over.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        seeds: Independent repeats; intervals are over them.
        shadow_models: Final models per seed (multiple of 4): each is attacked with the others.
        epochs: Passes over the data; default: those of the recipe.
        train_size: Keep at most so many training examples; half of them are members. The attack on
            updates takes time that grows with its cube.
        ridges: Relative ridges whose noise is added to what the attacker of updates sees.
        every: The attacker sees every k-th update, for each k; 1 must be among them.
        draws: Releases with, and as many without, the target that the attack is judged on.
        checkpoints: Epochs after which GNQ is measured for the attack on the final model.
        recipes: Hyperparameters written by the `tune` job; default: those that come along.
        out: Run directory; default: runs/calibration-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    other_datasets: tuple[str, ...] = ("breast_cancer",)
    model: ModelName = "mlp"
    hidden: tuple[int, ...] = (128,)
    seeds: int = 5
    shadow_models: int = 16
    epochs: int | None = None
    train_size: int = 800
    ridges: tuple[float, ...] = (1.0, 10.0, 100.0)
    every: tuple[int, ...] = (1, 5, 20)
    draws: int = 32
    checkpoints: int = 5
    recipes: Path | None = None
    out: Path | None = None
    overwrite: bool = False


def run(options: Options) -> int:
    """Runs the study; returns the exit code."""
    _check(options)
    console = Console()
    names = tuple(dict.fromkeys((options.dataset, *options.other_datasets)))
    tasks = {
        name: _at_most(load_task(name, options.model, options.hidden), options.train_size)
        for name in names
    }
    members = {name: len(task.dataset.train) // 2 for name, task in tasks.items()}
    for name, count in members.items():
        check_option(
            2 * count >= MIN_EXAMPLES,
            f"{name} has {2 * count} training examples, too few for deciles; give --train-size at "
            f"least {MIN_EXAMPLES}",
        )
    recipes = {
        # A batch is at most a quarter of the members: at rate 1 there is nothing to find out.
        name: fit(
            load_recipes(name, options.recipes).find("sgd"), members[name] // 4, options.epochs
        )
        for name in names
    }
    for name, recipe in recipes.items():
        check_plain(recipe, name)
    view = release.View(options.ridges, options.every, options.draws, GRID)
    with run_directory("calibration", options) as directory:
        results = {}
        # LAPACK's threads spin beside XLA's: with one thread the decompositions take a third.
        with (
            progress(console, 2 * options.seeds * len(names) + 1) as steps,
            threadpool_limits(1, user_api="blas"),
        ):
            for name, task in tasks.items():
                trainer = release.poisson_sgd(recipes[name], members[name])
                trained_by = final.poisson_sgd(task, recipes[name], options.shadow_models)
                releases, finals = [], []
                for seed in range(options.seeds):
                    key = jax.random.fold_in(jax.random.key(seed), 2)
                    given = np.asarray(
                        jax.random.permutation(key, len(task.dataset.train))[: members[name]]
                    )
                    with steps.step(f"{name}: attack on updates, seed {seed}"):
                        releases.append(release.attack_updates(task, trainer, view, given, key))
                    with steps.step(f"{name}: attack on final models, seed {seed}"):
                        finals.append(
                            final.shadow_models(
                                task,
                                recipes[name],
                                trained_by,
                                options.shadow_models,
                                options.checkpoints,
                                GRID,
                                seed,
                            )
                        )
                results[name] = analysis.Runs(releases, finals)
            with steps.step("tables and figures"):
                frames.write(directory, view, results)
                summary = analysis.summarize(view, results)
                directory.write_json("summary.json", summary)
                tested = claims.claims(summary)
                write_claims(directory, tested)
                descriptions = [
                    f"{name}: {2 * members[name]} examples, {task.model_name}"
                    for name, task in tasks.items()
                ]
                tables = report.write(directory, options, recipes, descriptions, summary, tested)
    for table in tables:
        console.print(to_terminal(table))
    console.print(f"report: {directory.path / 'report.html'}", soft_wrap=True)
    return 0


def _at_most(task: Task, train_size: int) -> Task:
    """The task with the first training examples, so many if there are more."""
    train = task.dataset.train
    kept = replace(task.dataset, train=train.prefix(min(train_size, len(train))))
    return replace(task, dataset=kept)


def _check(options: Options) -> None:
    check_option(options.seeds >= 1, f"--seeds {options.seeds} must be at least 1")
    check_option(
        options.shadow_models >= 8 and options.shadow_models % 4 == 0,
        f"--shadow-models {options.shadow_models} must be a multiple of 4 and at least 8",
    )
    check_option(
        options.epochs is None or options.epochs >= 1,
        f"--epochs {options.epochs} must be at least 1",
    )
    for name in ("train_size", "draws", "checkpoints"):
        value = getattr(options, name)
        check_option(value >= 1, f"--{name.replace('_', '-')} {value} must be at least 1")
    check_option(len(options.ridges) > 0, "--ridges is empty; name at least one")
    for ridge in options.ridges:
        check_option(
            GRID[0] <= ridge <= GRID[-1],
            f"--ridges {ridge} must be between {GRID[0]:g} and {GRID[-1]:g}",
        )
    check_option(
        1 in options.every and all(k >= 1 for k in options.every),
        "--every must name positive numbers, 1 among them",
    )
