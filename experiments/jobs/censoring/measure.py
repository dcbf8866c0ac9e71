"""What the study of censoring does: trains and attacks every defense on every data set."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from rich.console import Console

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.censoring.cases import Case, load_cases
from experiments.jobs.censoring.options import Options
from experiments.membership import frames as membership_frames
from experiments.membership.runs import DefenseRun, Settings, train_all
from experiments.tasks.recipe import RecipeBook, load_recipes

Runs = Mapping[str, list[DefenseRun]]
"""All defenses of each data set; plain SGD first."""


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Attributes:
        options: Of the job.
        cases: Data and models, by the name of the data set.
        books: Hyperparameters of each data set.
    """

    options: Options
    cases: Mapping[str, Case]
    books: Mapping[str, RecipeBook]

    @property
    def num_steps(self) -> int:
        """One step per data set, defense and seed."""
        return len(self.cases) * len(self.options.chosen_and_plain) * self.options.seeds


def prepare(options: Options) -> Plan:
    """Loads what is needed; says which data sets are left out."""
    cases = {case.task.dataset.name: case for case in load_cases(options, Console())}
    return Plan(options, cases, {name: load_recipes(name) for name in cases})


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Runs:
    """Trains and attacks all defenses."""
    del directory
    options, runs = plan.options, {}
    for name, case in plan.cases.items():
        settings = Settings(
            options.seeds,
            case.shadow_models,
            case.epochs,
            options.relative_ridge,
            measured=("sgd",),
        )
        runs[name] = train_all(
            case.task, options.chosen_and_plain, plan.books[name], settings, steps
        )
    return runs


def frames(plan: Plan, runs: Runs) -> dict[str, pl.DataFrame]:
    """Scores, per-example totals, test answers and steps of all defenses, a folder per data set."""
    return {
        f"{name}/{table}": frame
        for name, of_dataset in runs.items()
        for table, frame in membership_frames.tables(plan.cases[name].task, of_dataset).items()
    }
