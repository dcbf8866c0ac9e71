"""What the study does: attacks updates and final models of every data set and seed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from experiments.framework.errors import check_option
from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.calibration.final import FinalRun, attack_models
from experiments.jobs.calibration.options import GRID, Options
from experiments.jobs.calibration.release import Release, attack_updates, poisson_sgd
from experiments.membership.frames import by_model, stacked
from experiments.membership.runs import halves
from experiments.tasks.recipe import Recipe, check_plain, fit, load_recipes
from experiments.tasks.task import Task, load_task

MIN_EXAMPLES = 40  # two per decile, in each half


class Plan(NamedTuple):
    """Data and model, and how models are trained, by data set; the main one first."""

    options: Options
    tasks: Mapping[str, Task]
    recipes: Mapping[str, Recipe]
    num_steps: int


class Runs(NamedTuple):
    """All runs on one data set, one entry per seed."""

    releases: Sequence[Release]
    finals: Sequence[FinalRun]


def prepare(options: Options) -> Plan:
    """Loads what is needed."""
    tasks, recipes = {}, {}
    for name in dict.fromkeys((options.dataset, *options.other_datasets)):
        # The features that are named are those of the first data set.
        own: dict[str, Any] = {"target": options.target, "attribute": options.attribute}
        task = load_task(
            name,
            options.model,
            options.hidden,
            channels=options.channels,
            **(own if name == options.dataset else {}),
        )
        tasks[name] = _at_most(task, options.train_size)
        members = _num_members(tasks[name])
        check_option(
            2 * members >= MIN_EXAMPLES,
            f"{name} has {2 * members} training examples, too few for deciles; give --train-size "
            f"at least {MIN_EXAMPLES}",
        )
        found = load_recipes(name, options.recipes).find("sgd")
        check_plain(found, name)
        # A batch is at most a quarter of the members: at rate 1 there is nothing to find out.
        recipes[name] = fit(found, members // 4, options.epochs)
    # A step per attacker, data set and seed.
    return Plan(options, tasks, recipes, 2 * options.seeds * len(tasks))


def _at_most(task: Task, train_size: int) -> Task:
    """The task with the first training examples, so many if there are more."""
    train = task.dataset.train
    kept = replace(task.dataset, train=train.prefix(min(train_size, len(train))))
    return replace(task, dataset=kept)


def _num_members(task: Task) -> int:
    return len(task.dataset.train) // 2


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> dict[str, Runs]:
    """Attacks updates and final models of every data set and seed."""
    # LAPACK's threads spin beside XLA's: with one thread the decompositions take a third.
    with threadpool_limits(1, user_api="blas"):
        return {name: _attack(plan, name, steps) for name in plan.tasks}


def _attack(plan: Plan, name: str, steps: Steps) -> Runs:
    """All seeds of one data set."""
    options, task, recipe = plan.options, plan.tasks[name], plan.recipes[name]
    members = _num_members(task)
    # Made once for all seeds, so that they compile once.
    release_by = poisson_sgd(recipe, members, physical_size=members)
    train_by = poisson_sgd(recipe, halves(task, options.shadow_models, 0))
    releases, finals = [], []
    for seed in range(options.seeds):
        key = jax.random.fold_in(jax.random.key(seed), 2)
        given = np.asarray(jax.random.permutation(key, len(task.dataset.train))[:members])
        with steps.step(f"{name}: attack on updates, seed {seed}"):
            releases.append(attack_updates(task, release_by, options, given, key))
        with steps.step(f"{name}: attack on final models, seed {seed}"):
            finals.append(attack_models(task, recipe, train_by, options, seed))
    return Runs(releases, finals)


def frames(plan: Plan, runs: Mapping[str, Runs]) -> dict[str, pl.DataFrame]:
    """What every attack on updates reached, and every final model's scores and predictions."""
    updates, final = [], []
    for name, of_dataset in runs.items():
        ids = plan.tasks[name].dataset.train.ids
        for seed, (release, run) in enumerate(zip(of_dataset.releases, of_dataset.finals)):
            updates.append(((name, seed), _release(plan.options, release)))
            final.append(((name, seed), _final(ids, run)))
    about = ("dataset", "seed")
    return {"updates": stacked(about, updates), "final": stacked(about, final)}


def _release(options: Options, run: Release) -> pl.DataFrame:
    """One row per ridge, k and member."""
    axes = options.ridges, options.every, np.arange(run.auc.shape[-1])
    columns = dict(zip(("ridge", "every", "member"), np.meshgrid(*axes, indexing="ij")))
    columns |= {"mu": np.sqrt(run.mu_squared), "achieved_auc": run.auc}
    return pl.DataFrame({name: values.ravel() for name, values in columns.items()})


def _final(ids: np.ndarray, run: FinalRun) -> pl.DataFrame:
    """One row per model and example."""
    scores = {name: run.outputs.scores[name] for name in ("lira", "loss")}
    mu = {f"mu, ridge {ridge:g}": np.sqrt(m) for ridge, m in zip(GRID, run.mu_squared)}
    return by_model(ids, member=run.members, **scores, **mu)
