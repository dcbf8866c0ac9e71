"""What the onion does: the task and recipe, then rounds of training, audit, attack and removal."""

from dataclasses import replace
from typing import NamedTuple

import polars as pl

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.onion.options import Options, Scope
from experiments.jobs.onion.rounds import Peeled, num_stages, peel
from experiments.membership import frames as membership_frames
from experiments.tasks.recipe import Recipe, load_recipes
from experiments.tasks.task import Task


class Plan(NamedTuple):
    """Data and model, how all models are trained, and from what examples are removed."""

    options: Options
    task: Task
    recipe: Recipe
    scopes: tuple[Scope, ...]
    num_steps: int


def prepare(options: Options) -> Plan:
    """Loads what is needed."""
    task = options.load_task()
    recipe = load_recipes(options.dataset, options.recipes).find("sgd")
    if options.epochs is not None:
        recipe = replace(recipe, epochs=options.epochs)
    scopes = tuple(dict.fromkeys(options.scopes))
    return Plan(options, task, recipe, scopes, num_stages(scopes, options.rounds) * options.seeds)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Peeled:
    """Trains, audits and attacks all rounds."""
    return peel(plan.task, plan.recipe, plan.scopes, plan.options, steps)


def frames(plan: Plan, peeled: Peeled) -> dict[str, pl.DataFrame]:
    """Scores, per-example totals, test answers and steps of every training."""
    return membership_frames.tables(plan.task, peeled.stages())
