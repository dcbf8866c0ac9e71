"""What the study does: trains plain models, measures every estimator along the way, attacks."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
import optax
import polars as pl
from jaxtyping import Array, PyTree

from experiments.framework.errors import check_option
from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.monotone.estimators import Estimator, Kind, chosen, statistic
from experiments.jobs.monotone.examples import Examples, SeedRun, per_example
from experiments.jobs.monotone.options import Options
from experiments.membership.attacks import query
from experiments.membership.frames import by_model, stacked
from experiments.membership.observed import train_observed
from experiments.membership.recorder import record
from experiments.membership.runs import halves
from experiments.tasks.recipe import Recipe, descent_of, fit, load_recipes
from experiments.tasks.task import Task
from experiments.tasks.training import MakeOptimizer
from gujax import training, transforms
from gujax.uniqueness import dataset_uniqueness

MIN_EXAMPLES = 60  # two per decile and stratum
_MICROBATCH = 256


class Plan(NamedTuple):
    """Data and model, how all models are trained, and the measures of uniqueness."""

    options: Options
    task: Task
    recipe: Recipe
    estimators: Sequence[Estimator]
    num_steps: int

    def first(self, kind: Kind) -> str:
        """The label of the first estimator of a kind."""
        return next(e.label for e in self.estimators if e.kind == kind)


class Study(NamedTuple):
    """Every seed's models, and what they say about every example."""

    runs: Sequence[SeedRun]
    examples: Sequence[Examples]


def prepare(options: Options) -> Plan:
    """Loads what is needed."""
    task = options.load_task()
    count = len(task.dataset.train)
    check_option(
        count >= MIN_EXAMPLES,
        f"{count} training examples are too few for deciles; give at least {MIN_EXAMPLES}",
    )
    found = load_recipes(options.dataset, options.recipes).find("sgd")
    ridges = options.relative_ridge, options.other_ridges, options.diagonal_ridges
    recipe = fit(found, count // 2, options.epochs)
    return Plan(options, task, recipe, chosen(*ridges), num_steps=options.seeds)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Study:
    """Trains, measures and attacks the models of every seed."""
    make_optimizer = _measured_sgd(plan)
    runs = []
    for seed in plan.options.seed_numbers:
        with steps.step(f"training, measuring, attacking: seed {seed}"):
            runs.append(_run_seed(plan, make_optimizer, seed))
    return Study(runs, [per_example(run) for run in runs])


def _measured_sgd(plan: Plan) -> MakeOptimizer:
    """Plain SGD, every batch of which is measured; once for all seeds, so that it compiles once."""
    count, recipe = len(plan.task.dataset.train), plan.recipe
    batches = training.plan_batches(-(-count // 2), recipe.batch_size, recipe.epochs)
    measured = record(
        transforms.mean(batch_size=batches.physical_size),
        {e.label: statistic(e) for e in plan.estimators if e.kind != "dataset"},
        count,
    )
    optimizer = optax.chain(measured, descent_of(recipe, batches.steps_per_epoch * recipe.epochs))
    return lambda key: optimizer  # plain SGD draws no noise


def _run_seed(plan: Plan, make_optimizer: MakeOptimizer, seed: int) -> SeedRun:
    """Trains the models of one seed, measured, and attacks them.

    Halves of the data, initial parameters and batches follow from the seed.
    """
    task, options = plan.task, plan.options
    members = halves(task, options.shadow_models, seed)
    totals = {e: np.zeros(members.shape) for e in plan.estimators if e.kind == "dataset"}

    def measure_dataset(model: int, params: PyTree, examples: tuple[Array, Array]) -> None:
        for estimator, total in totals.items():
            measured = dataset_uniqueness(
                task.loss_fn,
                params,
                examples,
                key=jax.random.key(0),
                microbatch_size=_MICROBATCH,
                relative_ridge=estimator.ridge,
            )
            total[model, members[model]] += measured.gnq

    trained = train_observed(
        task, plan.recipe, make_optimizer, members, seed, options.checkpoints, measure_dataset
    )
    recorder = trained.opt_state[0]
    measured = {
        e: totals[e] if e in totals else np.asarray(recorder.totals[e.label])
        for e in plan.estimators
    }
    outputs = query(task, trained.params, members)
    return SeedRun(members, measured, np.asarray(recorder.steps), outputs)


def frames(plan: Plan, study: Study) -> dict[str, pl.DataFrame]:
    """Scores and measures of every model and example, and what is known of every example."""
    train = plan.task.dataset.train
    scores = [
        by_model(
            train.ids,
            member=run.members,
            margin=run.outputs.margin,
            **{name: run.outputs.scores[name] for name in ("lira", "loss")},
            appearances=run.appearances,
            **{e.label: total.astype(np.float32) for e, total in run.measured.items()},
        )
        for run in study.runs
    ]
    known = [
        pl.DataFrame({"id": train.ids, "label": train.y, **examples}) for examples in study.examples
    ]
    return {
        name: stacked(("seed",), (((seed,), table) for seed, table in enumerate(tables)))
        for name, tables in (("scores", scores), ("per_example", known))
    }
