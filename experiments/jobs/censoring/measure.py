"""What the study of censoring does: trains and attacks every defense on every data set."""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl
from rich.console import Console

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.censoring.cases import Case, load_cases
from experiments.jobs.censoring.options import Options
from experiments.membership import frames as membership_frames
from experiments.membership.options import MembershipOptions
from experiments.membership.runs import DefenseRun, train_all
from experiments.tasks.recipe import RecipeBook, load_recipes

Runs = Mapping[str, list[DefenseRun]]
"""All defenses of each data set; plain SGD first."""


class Plan(NamedTuple):
    """Data and models, and their recipes, by the name of the data set."""

    options: Options
    cases: Mapping[str, Case]
    books: Mapping[str, RecipeBook]
    num_steps: int


def prepare(options: Options) -> Plan:
    """Loads what is needed; says which data sets are left out."""
    cases = {case.task.dataset.name: case for case in load_cases(options, Console())}
    books = {name: load_recipes(name) for name in cases}
    num_steps = len(cases) * len(options.chosen_and_plain) * options.seeds
    return Plan(options, cases, books, num_steps)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Runs:
    """Trains and attacks all defenses."""
    options, runs = plan.options, {}
    for name, case in plan.cases.items():
        of_case = MembershipOptions(
            seeds=options.seeds,
            shadow_models=case.shadow_models,
            epochs=case.epochs,
            relative_ridge=options.relative_ridge,
        )
        defenses, book = options.chosen_and_plain, plan.books[name]
        runs[name] = train_all(case.task, defenses, book, of_case, steps, ("sgd",))
    return runs


def frames(plan: Plan, runs: Runs) -> dict[str, pl.DataFrame]:
    """Scores, per-example totals, test answers and steps of all defenses, a folder per data set."""
    return {
        f"{name}/{table}": frame
        for name, of_dataset in runs.items()
        for table, frame in membership_frames.tables(plan.cases[name].task, of_dataset).items()
    }
