"""What the study of control does: trains and attacks every setting of every method."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.control.options import Options
from experiments.membership import frames as membership_frames
from experiments.membership.runs import DefenseRun, Settings, train_all
from experiments.tasks.recipe import RecipeBook, load_recipes
from experiments.tasks.task import Task, load_task


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Attributes:
        options: Of the job.
        task: Data and model.
        book: Hyperparameters and the search that found them.
    """

    options: Options
    task: Task
    book: RecipeBook

    @property
    def num_steps(self) -> int:
        """One step per setting and seed."""
        return len(self.options.chosen_and_plain) * self.options.seeds


def prepare(options: Options) -> Plan:
    """Loads what is needed."""
    task = load_task(
        options.dataset, options.model, options.hidden, options.train_size, options.channels
    )
    return Plan(options, task, load_recipes(options.dataset, options.recipes))


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> list[DefenseRun]:
    """Trains and attacks all settings; plain SGD first."""
    del directory
    options = plan.options
    settings = Settings(
        options.seeds,
        options.shadow_models,
        options.epochs,
        options.relative_ridge,
        measured=("sgd",),
    )
    return train_all(plan.task, options.chosen_and_plain, plan.book, settings, steps)


def frames(plan: Plan, runs: Sequence[DefenseRun]) -> dict[str, pl.DataFrame]:
    """Scores, per-example totals, test answers and steps of all settings."""
    return membership_frames.tables(plan.task, runs)
