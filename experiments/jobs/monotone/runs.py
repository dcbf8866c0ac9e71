"""Trains plain models, measures every estimator along the way, and attacks the models."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Bool, Float, Int, PRNGKeyArray, PyTree

from experiments.jobs.monotone.estimators import Estimator, statistic
from experiments.membership.attacks import Outputs, query
from experiments.membership.recorder import record
from experiments.membership.runs import halves
from experiments.tasks.recipe import Recipe, descent_of
from experiments.tasks.task import Task, initial_params
from gujax import training, transforms
from gujax.uniqueness import dataset_uniqueness

MakeOptimizer = Callable[[PRNGKeyArray], optax.GradientTransformation]

_MICROBATCH = 256


@dataclass(frozen=True)
class Settings:
    """What all seeds share.

    Attributes:
        models: models per seed.
        checkpoints: how many times, evenly spread over the epochs, the whole data set is measured.
        estimators: what is measured.
    """

    models: int
    checkpoints: int
    estimators: Sequence[Estimator]


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


def measured_sgd(task: Task, recipe: Recipe, settings: Settings) -> MakeOptimizer:
    """Plain SGD, every batch of which is measured; once for all seeds, so that it compiles once."""
    num_examples = len(task.dataset.train)
    plan = training.plan_batches(-(-num_examples // 2), recipe.batch_size, recipe.epochs)
    num_steps = plan.steps_per_epoch * recipe.epochs
    follow = descent_of(recipe, num_steps)
    measured = record(
        transforms.mean(batch_size=plan.physical_size),
        {e.label: statistic(e) for e in settings.estimators if e.kind != "dataset"},
        num_examples,
    )
    optimizer = optax.chain(measured, follow)
    return lambda key: optimizer  # plain SGD draws no noise


def run_seed(
    task: Task, recipe: Recipe, settings: Settings, make_optimizer: MakeOptimizer, seed: int
) -> SeedRun:
    """Trains the models of one seed, measured, and attacks them.

    Args:
        task: Data and model.
        recipe: How to train.
        settings: What to measure.
        make_optimizer: What `measured_sgd` returned.
        seed: Halves of the data, initial parameters and batches follow from it.
    """
    members = halves(task, settings.models, seed)
    keys = jax.random.split(jax.random.key(seed), settings.models)
    totals = {
        estimator: np.zeros(members.shape)
        for estimator in settings.estimators
        if estimator.kind == "dataset"
    }
    measured_epochs = checkpoint_epochs(recipe.epochs, settings.checkpoints)
    train = task.dataset.train

    def measure_dataset(epoch: int, result: training.TrainResult) -> None:
        if epoch in measured_epochs:
            for estimator, total in totals.items():
                total += dataset_totals(task, result.params, members, estimator)

    trained = training.train_many(
        task.loss_fn,
        initial_params(task, keys),
        # Totals are kept by position, whatever the ids are.
        replace(train, ids=np.arange(len(train), dtype=np.int32)),
        make_optimizer,
        member_masks=members,
        keys=keys,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        callback=measure_dataset,
        progress=False,
    )
    state = trained.opt_state[0]  # the recorder's
    return SeedRun(
        members,
        {
            e: totals[e] if e.kind == "dataset" else np.asarray(state.totals[e.label])
            for e in settings.estimators
        },
        np.asarray(state.steps),
        query(task, trained.params, members),
    )


def checkpoint_epochs(epochs: int, checkpoints: int) -> set[int]:
    """Epochs, from 0, after which the data set is measured; the last one always is."""
    count = min(checkpoints, epochs)
    return {epochs * (i + 1) // count - 1 for i in range(count)}


def dataset_totals(
    task: Task,
    params: PyTree,
    members: Bool[np.ndarray, "models examples"],
    estimator: Estimator,
) -> Float[np.ndarray, "models examples"]:
    """GNQ of every member among all members of its model, [M, N]; 0 for the others."""
    train = task.dataset.train
    found = np.zeros(members.shape)
    for model, given in enumerate(members):
        measured = dataset_uniqueness(
            task.loss_fn,
            jax.tree.map(lambda leaf, model=model: leaf[model], params),
            (train.x[given], train.y[given]),
            key=jax.random.key(0),
            microbatch_size=_MICROBATCH,
            relative_ridge=estimator.ridge,
        )
        found[model, given] = measured.gnq
    return found
