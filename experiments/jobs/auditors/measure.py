"""What the study does: data and recipes, then every auditor's view of the same DP-SGD runs."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from experiments.framework.errors import check_option
from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.auditors.options import Options
from experiments.jobs.auditors.runs import AuditedRun, run_seed, trainers
from experiments.membership.defenses import Privacy
from experiments.membership.frames import stacked
from experiments.tasks.recipe import Recipe, check_plain, fit, load_recipes
from experiments.tasks.task import Task


class Plan(NamedTuple):
    """Data and model, and how the models of each target ε are trained."""

    options: Options
    task: Task
    recipes: Mapping[float, Recipe]
    num_steps: int


class Audited(NamedTuple):
    """One target ε: what the accountant says, the seconds it took, and one run per seed."""

    privacy: Privacy
    seconds: float
    runs: Sequence[AuditedRun]


def prepare(options: Options) -> Plan:
    """Loads what is needed."""
    task = options.load_task()
    num_examples = len(task.dataset.train)
    check_option(
        options.canaries < num_examples,
        f"--canaries {options.canaries} must be less than the {num_examples} training examples",
    )
    book = load_recipes(options.dataset, options.recipes)
    recipes = {
        # Sampling must leave room for chance: a batch is at most a quarter of the examples.
        epsilon: fit(book.find("dp_sgd", epsilon), num_examples // 4, options.epochs)
        for epsilon in options.epsilons
    }
    for epsilon, recipe in recipes.items():
        check_plain(recipe, f"ε={epsilon:g}")
    # Per ε a step of accounting, and one per seed.
    return Plan(options, task, recipes, len(recipes) * (options.seeds + 1))


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> dict[float, Audited]:
    """Trains and audits the models of every target ε."""
    audited = {}
    for epsilon, recipe in plan.recipes.items():
        began, runs = time.perf_counter(), []
        with steps.step(f"ε={epsilon:g}: accounting"):
            trained_by = trainers(recipe, epsilon, plan.options, len(plan.task.dataset.train))
        seconds = time.perf_counter() - began
        for seed in range(plan.options.seeds):
            with steps.step(f"ε={epsilon:g}: training and auditing, seed {seed}"):
                runs.append(run_seed(plan.task, recipe, trained_by, plan.options, seed))
        audited[epsilon] = Audited(trained_by.privacy, seconds, runs)
    return audited


def frames(plan: Plan, audited: Mapping[float, Audited]) -> dict[str, pl.DataFrame]:
    """Scores of canaries, and uniqueness of examples."""
    return {
        name: stacked(
            ("epsilon", "seed"),
            (
                ((target, seed), table(run))
                for target, of_target in audited.items()
                for seed, run in enumerate(of_target.runs)
            ),
        )
        for name, table in (("canaries", _canaries), ("uniqueness", _uniqueness))
    }


def _canaries(run: AuditedRun) -> pl.DataFrame:
    """One row per model and canary."""
    num_models, num_canaries = run.included.shape
    return pl.DataFrame(
        {
            "model": np.repeat(np.arange(num_models), num_canaries),
            "position": np.tile(run.canaries, num_models),
            "included": run.included.ravel(),
            "lira": run.lira.ravel(),
            "learned": run.learned.ravel(),
        }
    )


def _uniqueness(run: AuditedRun) -> pl.DataFrame:
    """One row per audited model and example."""
    num_audited, num_examples = run.mu.shape
    return pl.DataFrame(
        {
            "audited": np.repeat(["first", "all canaries"], num_examples),
            "position": np.tile(np.arange(num_examples), num_audited),
            "canary": np.tile(np.isin(np.arange(num_examples), run.canaries), num_audited),
            "mu": run.mu.ravel(),
            "excess": run.excess.ravel(),
        }
    )
