"""Plain models whose members are measured at some epochs of training."""

from collections.abc import Callable
from typing import Literal

import jax
import numpy as np
from jaxtyping import Array, Bool, PyTree

from experiments.tasks.recipe import Recipe
from experiments.tasks.task import Task
from experiments.tasks.training import MakeOptimizer, train_models
from gujax import training

Measure = Callable[[int, PyTree, tuple[Array, Array]], None]
"""Given the number of a model, its parameters, and its members' inputs and labels."""


def train_observed(
    task: Task,
    recipe: Recipe,
    make_optimizer: MakeOptimizer,
    members: Bool[np.ndarray, "models examples"],
    seed: int,
    checkpoints: int,
    measure: Measure,
    sampling: Literal["shuffle", "poisson"] = "shuffle",
) -> training.TrainResult:
    """Trains M models, and measures each of them at some checkpoints, see `checkpoint_epochs`.

    Initial parameters and batches follow from the seed.
    """
    train = task.dataset.train
    epochs = checkpoint_epochs(recipe.epochs, checkpoints)

    def measure_all(epoch: int, result: training.TrainResult) -> None:
        if epoch in epochs:
            for model, given in enumerate(members):
                params = jax.tree.map(lambda leaf, model=model: leaf[model], result.params)
                measure(model, params, (train.x[given], train.y[given]))

    return train_models(
        task,
        recipe,
        make_optimizer,
        members,
        jax.random.split(jax.random.key(seed), len(members)),
        sampling=sampling,
        callback=measure_all,
    )


def checkpoint_epochs(epochs: int, checkpoints: int) -> set[int]:
    """Epochs, from 0, after which models are measured: evenly spread, the last one among them."""
    count = min(checkpoints, epochs)
    return {epochs * (i + 1) // count - 1 for i in range(count)}
