"""What the comparison does: trains and attacks every defense, and times what auditing costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.compare.options import Options
from experiments.membership import frames as membership_frames
from experiments.membership import runs
from experiments.membership.cost import StepCost, reference_costs
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
        """One step per defense and seed, one for other ridges, one for costs."""
        return len(self.options.chosen) * self.options.seeds + 2


@dataclass(frozen=True)
class Compared:
    """What was measured.

    Attributes:
        defenses: All runs; plain SGD first.
        ridges: The first seed of plain SGD by relative ridge, the run's own among them.
        costs: Costs of steps by model and step.
    """

    defenses: Sequence[runs.DefenseRun]
    ridges: Mapping[float, runs.SeedRun]
    costs: Mapping[str, Mapping[str, StepCost]]


def prepare(options: Options) -> Plan:
    """Loads what is needed."""
    task = load_task(options.dataset, options.model, options.hidden, options.train_size)
    return Plan(options, task, load_recipes(options.dataset, options.recipes))


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Compared:
    """Trains and attacks all defenses, then measures plain SGD under other ridges, and costs."""
    del directory
    options, task, own = plan.options, plan.task, plan.options.relative_ridge
    settings = runs.Settings(options.seeds, options.shadow_models, options.epochs, own)
    results = runs.train_all(task, options.chosen, plan.book, settings, steps)
    with steps.step("plain SGD under other ridges"):
        others = [ridge for ridge in options.other_ridges if ridge != own]
        ridges = runs.with_ridges(task, results[0], others, settings)
        ridges[own] = results[0].seeds[0]
    with steps.step("cost of auditing"):
        costs = reference_costs(task, results[0].recipe.batch_size, options.chosen, own)
    return Compared(results, ridges, costs)


def frames(plan: Plan, compared: Compared) -> dict[str, pl.DataFrame]:
    """Scores, per-example totals, test answers and steps of all defenses; nats under ridges."""
    tables = membership_frames.tables(plan.task, compared.defenses)
    return {**tables, "ridges": membership_frames.of_ridges(plan.task, compared.ridges)}
