"""What the study of control does: trains and attacks every setting of every method."""

from collections.abc import Sequence

import polars as pl

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.control.options import Options
from experiments.membership import frames as membership_frames
from experiments.membership import runs
from experiments.tasks.recipe import load_recipes

Plan = runs.Plan[Options]


def prepare(options: Options) -> Plan:
    """Loads what is needed; a step per setting and seed."""
    task = options.with_canaries(options.load_task())
    book = load_recipes(options.dataset, options.recipes)
    return Plan(options, task, book, len(options.chosen_and_plain) * options.seeds)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> list[runs.DefenseRun]:
    """Trains and attacks all settings; plain SGD first."""
    options, task, book, _ = plan
    return runs.train_all(task, options.chosen_and_plain, book, options, steps, ("sgd",))


def frames(plan: Plan, done: Sequence[runs.DefenseRun]) -> dict[str, pl.DataFrame]:
    """Scores, per-example totals, test answers and steps of all settings."""
    return membership_frames.tables(plan.task, done)
