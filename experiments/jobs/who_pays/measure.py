"""What the study does: trains and attacks every defense on both variants of the data."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.who_pays.groups import Groups, groups_of, made_rare
from experiments.jobs.who_pays.options import Options
from experiments.membership import runs
from experiments.membership.frames import tables
from experiments.tasks.recipe import RecipeBook, load_recipes
from experiments.tasks.task import Task

WHOLE, IMBALANCED = "as it is", "imbalanced"
Runs = Mapping[str, Sequence[runs.DefenseRun]]
"""All defenses, plain SGD first, for `WHOLE` and `IMBALANCED`."""


class Plan(NamedTuple):
    """Data and model, and the groups of its examples, for `WHOLE` and `IMBALANCED`."""

    options: Options
    book: RecipeBook
    tasks: Mapping[str, Task]
    groups: Mapping[str, Groups]
    num_steps: int


def prepare(options: Options) -> Plan:
    """Loads what is needed."""
    task = options.load_task()
    book = load_recipes(options.dataset, options.recipes)
    groups = groups_of(task, options.rare, options.group_by)
    rare_task, rare_groups = made_rare(task, groups, options.keep, options.group_by)
    tasks = {WHOLE: task, IMBALANCED: rare_task}
    num_steps = len(tasks) * len(options.chosen) * options.seeds
    return Plan(options, book, tasks, {WHOLE: groups, IMBALANCED: rare_groups}, num_steps)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Runs:
    """Trains and attacks every defense on both variants of the data."""
    options, defenses = plan.options, plan.options.chosen
    # What drops examples from batches needs its ledgers, which say whose part it took away.
    measured = ("sgd", *(defense.family for defense in defenses if defense.method.drops))
    return {
        name: runs.train_all(task, defenses, plan.book, options, steps, measured)
        for name, task in plan.tasks.items()
    }


def frames(plan: Plan, done: Runs) -> dict[str, pl.DataFrame]:
    """Scores, per-example totals, test answers and steps, in a folder for each variant."""
    return {
        f"{name.replace(' ', '_')}/{file}": table
        for name, task in plan.tasks.items()
        for file, table in tables(task, done[name]).items()
    }
