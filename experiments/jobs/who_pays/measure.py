"""What the study does: trains and attacks every defense on both variants of the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.who_pays.groups import Groups, groups_of, made_rare
from experiments.jobs.who_pays.options import Options
from experiments.membership import runs
from experiments.membership.frames import tables
from experiments.tasks.recipe import RecipeBook, load_recipes
from experiments.tasks.task import Task, load_task

WHOLE, IMBALANCED = "as it is", "imbalanced"
Runs = Mapping[str, Sequence[runs.DefenseRun]]
"""All defenses, plain SGD first, for `WHOLE` and `IMBALANCED`."""


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Attributes:
        options: Of the job.
        book: Hyperparameters and the search that found them.
        tasks: Data and model, for `WHOLE` and `IMBALANCED`.
        groups: Groups of the examples; alike.
    """

    options: Options
    book: RecipeBook
    tasks: Mapping[str, Task]
    groups: Mapping[str, Groups]

    @property
    def num_steps(self) -> int:
        """One step per variant of the data, defense and seed."""
        return len(self.tasks) * len(self.options.chosen) * self.options.seeds


def prepare(options: Options) -> Plan:
    """Loads what is needed."""
    task = load_task(options.dataset, options.model, options.hidden, options.train_size)
    book = load_recipes(options.dataset, options.recipes)
    groups = groups_of(task, options.rare, options.group_by)
    rare_task, rare_groups = made_rare(task, groups, options.keep, options.group_by)
    return Plan(
        options,
        book,
        {WHOLE: task, IMBALANCED: rare_task},
        {WHOLE: groups, IMBALANCED: rare_groups},
    )


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Runs:
    """Trains and attacks every defense on both variants of the data."""
    del directory
    options, defenses = plan.options, plan.options.chosen
    # What drops examples from batches needs its ledgers, which say whose part it took away.
    measured = ("sgd", *(defense.family for defense in defenses if defense.method.drops))
    settings = runs.Settings(
        options.seeds, options.shadow_models, options.epochs, options.relative_ridge, measured
    )
    return {
        name: runs.train_all(task, defenses, plan.book, settings, steps)
        for name, task in plan.tasks.items()
    }


def frames(plan: Plan, done: Runs) -> dict[str, pl.DataFrame]:
    """Scores, per-example totals, test answers and steps, in a folder for each variant."""
    return {
        f"{name.replace(' ', '_')}/{file}": table
        for name, task in plan.tasks.items()
        for file, table in tables(task, done[name]).items()
    }
