"""What the comparison does: trains and attacks every defense, and times what auditing costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from threadpoolctl import threadpool_limits

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.compare.options import Options
from experiments.membership import frames as membership_frames
from experiments.membership import runs
from experiments.membership.cost import StepCost, reference_costs
from experiments.membership.one_run import OneRun, predict_defense
from experiments.tasks.recipe import load_recipes

Plan = runs.Plan[Options]


@dataclass(frozen=True)
class Compared:
    """What was measured.

    Attributes:
        defenses: The defenses; plain SGD first.
        fronts: Further settings, which are measured by accuracy and attacks alone.
        ridges: The first seed of plain SGD by relative ridge, the run's own among them.
        costs: Costs of steps by model and step.
        predicted: What one run says of each defense in each seed, by label.
    """

    defenses: Sequence[runs.DefenseRun]
    fronts: Sequence[runs.DefenseRun]
    ridges: Mapping[float, runs.SeedRun]
    costs: Mapping[str, Mapping[str, StepCost]]
    predicted: Mapping[str, Sequence[OneRun]]


def prepare(options: Options) -> Plan:
    """Loads what is needed; a step per setting and seed, three for the rest."""
    task = options.with_canaries(options.load_task())
    book = load_recipes(options.dataset, options.recipes)
    every = [*options.chosen, *options.on_fronts]
    runs.check_defenses(task, every, options)
    return Plan(options, task, book, len(every) * options.seeds + 3)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Compared:
    """Trains and attacks all defenses, then measures the rest: see `Compared`."""
    options, task, own = plan.options, plan.task, plan.options.relative_ridge
    chosen = options.chosen
    measured = [defense.label for defense in chosen]
    every = [*chosen, *options.on_fronts]
    all_runs = runs.train_all(task, every, plan.book, options, steps, measured)
    results, fronts = all_runs[: len(chosen)], all_runs[len(chosen) :]
    # Threads of BLAS that wait for work take the time of those that have some.
    with steps.step("what one run predicts"), threadpool_limits(1, user_api="blas"):
        predicted = {run.defense.label: predict_defense(task, run) for run in results}
    with steps.step("plain SGD under other ridges"):
        others = [ridge for ridge in options.other_ridges if ridge != own]
        ridges = runs.with_ridges(task, results[0], others, options.first_seed)
        ridges[own] = results[0].seeds[0]
    with steps.step("cost of auditing"):
        costs = reference_costs(task, results[0].recipe.batch_size, chosen, own)
    return Compared(results, fronts, ridges, costs, predicted)


def frames(plan: Plan, compared: Compared) -> dict[str, pl.DataFrame]:
    """Scores, per-example totals, test answers and steps of all runs; nats under ridges."""
    tables = membership_frames.tables(plan.task, [*compared.defenses, *compared.fronts])
    return {**tables, "ridges": membership_frames.of_ridges(plan.task, compared.ridges)}
