"""The attack on the final model only: shadow models, and what their gradients predict."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

import gujax
from experiments.jobs.calibration.spectrum import spectrum, uniqueness_under
from experiments.jobs.monotone.runs import checkpoint_epochs
from experiments.membership.attacks import Outputs, query
from experiments.membership.runs import halves
from experiments.tasks.recipe import Recipe, descent_of
from experiments.tasks.task import Task, initial_params
from gujax import training, transforms


class FinalRun(NamedTuple):
    """M shadow models of one seed.

    Attributes:
        members: examples that each model was trained on, [M, N].
        mu_squared: predicted μ² of membership for an attacker who sees every update, for the
            ridges of the grid, [grid, M, N]; 0 for non-members.
        outputs: what the models answer, and the attacks' scores.
    """

    members: Bool[np.ndarray, "models examples"]
    mu_squared: Float[np.ndarray, "grid models examples"]
    outputs: Outputs


MakeOptimizer = Callable[[PRNGKeyArray], optax.GradientTransformation]


def poisson_sgd(
    task: Task, recipe: Recipe, num_models: int
) -> tuple[MakeOptimizer, training.BatchPlan]:
    """Plain SGD on Poisson batches of half the data; once for all seeds, so it compiles once."""
    plan = training.plan_batches(
        halves(task, num_models, 0), recipe.batch_size, recipe.epochs, "poisson"
    )
    num_steps = plan.steps_per_epoch * recipe.epochs
    optimizer = optax.chain(
        transforms.mean(batch_size=plan.physical_size),
        descent_of(recipe, num_steps),
    )
    return lambda key: optimizer, plan  # plain SGD draws no noise


def shadow_models(
    task: Task,
    recipe: Recipe,
    trained_by: tuple[MakeOptimizer, training.BatchPlan],
    num_models: int,
    checkpoints: int,
    grid: tuple[float, ...],
    seed: int,
) -> FinalRun:
    """Trains the models of one seed, predicts for every ridge of the grid, and attacks them.

    μ² of a step is that of a release with inclusion probability q, as in `release`. It is measured
    after some epochs, evenly spread, and stands for the q·T steps that hold an example on average.

    Args:
        task: Data and model.
        recipe: How to train.
        trained_by: What `poisson_sgd` returned.
        num_models: M, even.
        checkpoints: How many times to measure.
        grid: Relative ridges.
        seed: Halves of the data, initial parameters and batches follow from it.
    """
    make_optimizer, plan = trained_by
    members = halves(task, num_models, seed)
    keys = jax.random.split(jax.random.key(seed), num_models)
    split = task.dataset.train
    rate = plan.sampling_rate
    epochs = checkpoint_epochs(recipe.epochs, checkpoints)
    steps_held = rate * plan.steps_per_epoch * recipe.epochs
    weight = steps_held / len(epochs) / (rate * (1 - rate))
    mu_squared = np.zeros((len(grid), *members.shape))

    def measure(epoch: int, result: training.TrainResult) -> None:
        if epoch not in epochs:
            return
        for model, given in enumerate(members):
            params = jax.tree.map(lambda leaf, model=model: leaf[model], result.params)
            examples = split.x[given], split.y[given]
            mu_squared[:, model, given] += weight * _measure(task.loss_fn, grid, params, examples)

    trained = training.train_many(
        task.loss_fn,
        initial_params(task, keys),
        split,
        make_optimizer,
        member_masks=members,
        keys=keys,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        sampling="poisson",
        callback=measure,
        progress=False,
    )
    return FinalRun(members, mu_squared, query(task, trained.params, members))


@partial(jax.jit, static_argnums=(0, 1))
def _measure(
    loss_fn: Callable, grid: tuple[float, ...], params: PyTree, examples: tuple[Array, Array]
) -> Float[Array, "grid n"]:
    grads = gujax.per_example_grads(loss_fn)(params, examples)
    return uniqueness_under(spectrum(gujax.gram(grads)), jnp.array(grid))
