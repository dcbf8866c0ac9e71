"""The attack on the final model only: shadow models, and what their gradients predict."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

import gujax
from experiments.jobs.calibration.options import GRID, Options
from experiments.jobs.calibration.release import Trainer
from experiments.jobs.calibration.spectrum import spectrum, uniqueness_under
from experiments.membership.attacks import Outputs, query
from experiments.membership.observed import checkpoint_epochs, train_observed
from experiments.membership.runs import halves
from experiments.tasks.recipe import Recipe
from experiments.tasks.task import Task


class FinalRun(NamedTuple):
    """M shadow models of one seed.

    Attributes:
        members: examples that each model was trained on, [M, N].
        mu_squared: predicted μ² of membership for an attacker who sees every update, for the
            ridges of the grid, [grid, M, N]; 0 for non-members.
    """

    members: Bool[np.ndarray, "models examples"]
    mu_squared: Float[np.ndarray, "grid models examples"]
    outputs: Outputs


def attack_models(
    task: Task, recipe: Recipe, trainer: Trainer, options: Options, seed: int
) -> FinalRun:
    """Trains the models of one seed, predicts for every ridge of the grid, and attacks them.

    μ² of a step is that of a release with inclusion probability q, as in `release`. It is measured
    after some epochs, evenly spread, and stands for the q·T steps that hold an example on average.
    Halves of the data, initial parameters and batches follow from the seed.
    """
    members = halves(task, options.shadow_models, seed)
    rate, checkpoints = trainer.sampling_rate, options.checkpoints
    steps_held = rate * trainer.num_steps
    weight = steps_held / len(checkpoint_epochs(recipe.epochs, checkpoints)) / (rate * (1 - rate))
    mu_squared = np.zeros((len(GRID), *members.shape))

    def measure(model: int, params: PyTree, examples: tuple[Array, Array]) -> None:
        mu_squared[:, model, members[model]] += weight * _measure(task.loss_fn, params, examples)

    trained = train_observed(
        task, recipe, trainer.make_optimizer, members, seed, checkpoints, measure, "poisson"
    )
    return FinalRun(members, mu_squared, query(task, trained.params, members))


@partial(jax.jit, static_argnums=0)
def _measure(
    loss_fn: Callable, params: PyTree, examples: tuple[Array, Array]
) -> Float[Array, "grid n"]:
    grads = gujax.per_example_grads(loss_fn)(params, examples)
    return uniqueness_under(spectrum(gujax.gram(grads)), jnp.array(GRID))
