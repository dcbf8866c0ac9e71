"""Many models of one task, trained side by side."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import optax
from jaxtyping import Bool, Float, PRNGKeyArray, PyTree

from experiments.tasks.recipe import Recipe
from experiments.tasks.task import Task, initial_params
from gujax import training

MakeOptimizer = Callable[[PRNGKeyArray], optax.GradientTransformation]
"""As `gujax.training` takes it; made once for all seeds, so that it compiles once."""


def train_models(
    task: Task,
    recipe: Recipe,
    make_optimizer: MakeOptimizer,
    members: Bool[np.ndarray, "models examples"],
    keys: PRNGKeyArray,
    params: PyTree | None = None,
    sampling: Literal["shuffle", "poisson"] = "shuffle",
    callback: Callable[[int, training.TrainResult], None] | None = None,
    labels: Float[np.ndarray, "models examples classes"] | None = None,
) -> training.TrainResult:
    """Trains M models of a task that is adapted to the recipe.

    Args:
        task: Data, model and loss.
        recipe: Its batch size and epochs are used, and whether it augments.
        make_optimizer: The whole chain.
        members: Examples that each model is trained on.
        keys: One for each model, of its batches and noise.
        params: Initial parameters; None for those that follow from the keys.
        sampling: How batches are drawn.
        labels: What each model learns in place of the data's labels; None for these.
        callback: Given every epoch, from 0, and what was reached by then.
    """
    train = task.dataset.train
    return training.train_many(
        task.loss_fn,
        initial_params(task, keys) if params is None else params,
        # Ledgers count examples from 0, whatever their ids are.
        replace(train, ids=np.arange(len(train), dtype=np.int32)),
        make_optimizer,
        member_masks=members,
        keys=keys,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        sampling=sampling,
        randomized=recipe.augments,
        callback=callback,
        labels=labels,
    )
