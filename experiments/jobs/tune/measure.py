"""What the search does: every configuration on few halves, then finals of the best on many."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.framework.errors import check_option
from experiments.framework.options import flag
from experiments.framework.progress import Steps
from experiments.framework.results import Entry, entry
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.tune.judging import validation_accuracy
from experiments.jobs.tune.options import Options
from experiments.jobs.tune.record import search_record
from experiments.jobs.tune.trials import Row, Trial, all_trials, final_trials
from experiments.tasks.adaptation import adapted
from experiments.tasks.task import Task
from gujax.training import random_halves


class Plan(NamedTuple):
    """The search: its trials, with the data and the model that they are made on."""

    options: Options
    task: Task
    trials: Sequence[Trial]
    num_steps: int


def prepare(options: Options) -> Plan:
    """Loads what is needed."""
    task = options.load_task()
    half = len(task.dataset.train) // 2
    sizes = [("batch_size", options.batch_size)]
    for name, size in [*sizes, *(("dp_batch_sizes", size) for size in options.dp_batch_sizes)]:
        check_option(
            size <= half,
            f"{flag(name)} {size} must be between 1 and {half}, half of the training examples",
        )
    trials = list(all_trials(options))
    for trial in trials:
        adapted(task, trial.recipes[0])  # says now what the data do not allow
    # A step per trial, and one for the finals of each defense.
    return Plan(options, task, trials, len(trials) + len({trial.defense for trial in trials}))


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> dict[str, Any]:
    """Searches, holds the finals and returns the record of both."""
    options, search, finals = plan.options, [], []
    for trial in plan.trials:
        search += steps.result(
            f"search, {trial.defense.label}: {trial.description}",
            partial(_try, plan.task, trial, options, options.repeats, 1),
        )
    of_defenses: dict[Any, list[Trial]] = {}
    for trial in final_trials(search, options):
        of_defenses.setdefault(trial.defense, []).append(trial)
    for defense, trials in of_defenses.items():
        finals += steps.result(f"finals, {defense.label}", partial(_finals, plan, trials))
    return search_record(options, plan.task.model_name, search, finals)


def _finals(plan: Plan, trials: Sequence[Trial]) -> list[Row]:
    repeats = plan.options.final_repeats
    return [row for one in trials for row in _try(plan.task, one, plan.options, repeats, 2)]


def _try(task: Task, trial: Trial, options: Options, repeats: int, seed: int) -> list[Row]:
    """One row per configuration, with its mean accuracy."""
    halves = random_halves(jax.random.key(seed), 2 * repeats, len(task.dataset.train))
    accuracy = validation_accuracy(task, trial, np.asarray(halves)[:repeats], options)
    return [Row(trial.defense, *pair) for pair in zip(trial.recipes, accuracy.tolist())]


def analyze(plan: Plan, record: dict[str, Any]) -> Iterator[Entry]:
    """The best recipe of each method: its accuracy, how many were tried, and its numbers."""
    for name, recipe in record["recipes"].items():
        yield entry("accuracy", record["accuracy"][name], method=name)
        yield entry("tried", record["tried"][name], method=name)
        for field, value in recipe.items():
            if isinstance(value, (int, float)):
                yield entry(field, value, method=name)
