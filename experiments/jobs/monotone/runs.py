"""Trains plain models, measures every estimator along the way, and attacks the models."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from experiments.jobs.monotone.estimators import Estimator, statistic
from experiments.membership.attacks import Outputs, query
from experiments.membership.observed import MakeOptimizer, train_observed
from experiments.membership.recorder import record
from experiments.membership.runs import halves
from experiments.tasks.recipe import Recipe, descent_of
from experiments.tasks.task import Task
from gujax import training, transforms
from gujax.uniqueness import dataset_uniqueness

_MICROBATCH = 256


class SeedRun(NamedTuple):
    """M models of one seed.

    Attributes:
        members: examples that each model was trained on, [M, N].
        measured: for each estimator, its total for each model and member, [M, N]; 0 elsewhere.
        appearances: in how many batches each example was, [M, N].
        outputs: what the models answer, and the attacks' scores.
    """

    members: Bool[np.ndarray, "models examples"]
    measured: dict[Estimator, Float[np.ndarray, "models examples"]]
    appearances: Int[np.ndarray, "models examples"]
    outputs: Outputs


def measured_sgd(task: Task, recipe: Recipe, estimators: Sequence[Estimator]) -> MakeOptimizer:
    """Plain SGD, every batch of which is measured; once for all seeds, so that it compiles once."""
    num_examples = len(task.dataset.train)
    plan = training.plan_batches(-(-num_examples // 2), recipe.batch_size, recipe.epochs)
    measured = record(
        transforms.mean(batch_size=plan.physical_size),
        {e.label: statistic(e) for e in estimators if e.kind != "dataset"},
        num_examples,
    )
    optimizer = optax.chain(measured, descent_of(recipe, plan.steps_per_epoch * recipe.epochs))
    return lambda key: optimizer  # plain SGD draws no noise


def run_seed(
    task: Task,
    recipe: Recipe,
    estimators: Sequence[Estimator],
    make_optimizer: MakeOptimizer,
    num_models: int,
    checkpoints: int,
    seed: int,
) -> SeedRun:
    """Trains the models of one seed, measured, and attacks them.

    Args:
        task: Data and model.
        recipe: How to train.
        estimators: What to measure.
        make_optimizer: What `measured_sgd` returned.
        num_models: M, even.
        checkpoints: How many times, evenly spread over the epochs, the whole data set is measured.
        seed: Halves of the data, initial parameters and batches follow from it.
    """
    members = halves(task, num_models, seed)
    totals = {e: np.zeros(members.shape) for e in estimators if e.kind == "dataset"}

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
        task, recipe, make_optimizer, members, seed, checkpoints, measure_dataset
    )
    state = trained.opt_state[0]  # the recorder's
    measured = {
        e: totals[e] if e in totals else np.asarray(state.totals[e.label]) for e in estimators
    }
    return SeedRun(members, measured, np.asarray(state.steps), query(task, trained.params, members))
