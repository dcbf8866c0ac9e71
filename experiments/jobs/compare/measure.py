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
from experiments.tasks.recipe import load_recipes

Plan = runs.Plan[Options]


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
    """Loads what is needed; a step per defense and seed, one for other ridges, one for costs."""
    task = options.load_task()
    book = load_recipes(options.dataset, options.recipes)
    return Plan(options, task, book, len(options.chosen) * options.seeds + 2)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Compared:
    """Trains and attacks all defenses, then measures plain SGD under other ridges, and costs."""
    options, task, own = plan.options, plan.task, plan.options.relative_ridge
    results = runs.train_all(task, options.chosen, plan.book, options, steps)
    with steps.step("plain SGD under other ridges"):
        others = [ridge for ridge in options.other_ridges if ridge != own]
        ridges = runs.with_ridges(task, results[0], others)
        ridges[own] = results[0].seeds[0]
    with steps.step("cost of auditing"):
        costs = reference_costs(task, results[0].recipe.batch_size, options.chosen, own)
    return Compared(results, ridges, costs)


def frames(plan: Plan, compared: Compared) -> dict[str, pl.DataFrame]:
    """Scores, per-example totals, test answers and steps of all defenses; nats under ridges."""
    tables = membership_frames.tables(plan.task, compared.defenses)
    return {**tables, "ridges": membership_frames.of_ridges(plan.task, compared.ridges)}
