"""The matched-filter attack on the noisy sums that a real run of Poisson-sampled SGD releases."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

import gujax
from experiments.jobs.calibration.options import GRID, Options
from experiments.jobs.calibration.spectrum import Spectrum, filtered, spectrum, uniqueness_under
from experiments.membership.attacks import auc_per_example
from experiments.tasks.recipe import Recipe, descent_of
from experiments.tasks.task import Task
from gujax import training, transforms


class Release(NamedTuple):
    """One run, attacked; every entry is per member of the training set.

    Attributes:
        mu_squared: predicted μ², composed over the updates that the attacker sees,
            [ridges, every, n].
        auc: what the attack reached, [ridges, every, n].
        curve: predicted μ² composed over all updates, for the ridges of the grid, [grid, n].
    """

    mu_squared: Float[np.ndarray, "ridges every n"]
    auc: Float[np.ndarray, "ridges every n"]
    curve: Float[np.ndarray, "grid n"]


class _Totals(NamedTuple):
    mu_squared: Float[Array, "ridges every n"]
    present: Float[Array, "ridges every n draws"]
    absent: Float[Array, "ridges every n draws"]
    curve: Float[Array, "grid n"]


@dataclass(frozen=True)
class Trainer:
    """What all runs share, made once so that they compile once: optimizer and sampling."""

    optimizer: optax.GradientTransformationExtraArgs
    sampling_rate: float
    num_steps: int

    def make_optimizer(self, key: PRNGKeyArray) -> optax.GradientTransformationExtraArgs:
        """As `gujax.training` takes it; plain SGD draws no noise."""
        del key
        return self.optimizer


def poisson_sgd(
    recipe: Recipe,
    members: int | Bool[np.ndarray, "models examples"],
    physical_size: int | None = None,
) -> Trainer:
    """Plain SGD on Poisson batches.

    Args:
        recipe: How to train.
        members: How many there are, or those of each model.
        physical_size: How many gradients are given in each step; those of a batch if None.
    """
    plan = training.plan_batches(members, recipe.batch_size, recipe.epochs, "poisson")
    num_steps = plan.steps_per_epoch * recipe.epochs
    mean = transforms.mean(batch_size=physical_size or plan.physical_size)
    optimizer = optax.chain(mean, descent_of(recipe, num_steps))
    return Trainer(optimizer, plan.sampling_rate, num_steps)


def attack_updates(
    task: Task, trainer: Trainer, options: Options, given: Int[np.ndarray, " n"], key: PRNGKeyArray
) -> Release:
    """Trains one model with Poisson batches and attacks the sums that it releases.

    At every step, each member's gradient is in the released sum with probability q = B/n, and
    noise is added to what the attacker sees (training goes on without it). The attacker knows the
    parameters, all gradients, and in which batches the target would be if it were a member: those
    that held it in this run. Who else is in a batch, and the noise, are drawn anew for every
    attack, with the parameters of the one real run. The score is the sum of the log-likelihood
    ratios of the Gaussian approximation over those batches that the attacker sees.

    Args:
        trainer: What `poisson_sgd` returned for as many members.
        given: Positions of the members in the training split.
    """
    split = task.dataset.train
    init_key, run_key = jax.random.split(key)
    totals = _run(
        task.loss_fn,
        trainer,
        options,
        task.model.init(init_key),
        (jnp.asarray(split.x[given]), jnp.asarray(split.y[given])),
        run_key,
    )
    present, absent = np.asarray(totals.present), np.asarray(totals.absent)
    held = np.repeat([True, False], options.draws)[:, None].repeat(len(given), axis=1)
    scores = np.moveaxis(np.concatenate([present, absent], axis=-1), -1, 2)
    auc = [[auc_per_example(of_every, held) for of_every in of_ridge] for of_ridge in scores]
    return Release(np.asarray(totals.mu_squared), np.array(auc), np.asarray(totals.curve))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _run(
    loss_fn: Callable,
    trainer: Trainer,
    options: Options,
    params: PyTree,
    examples: tuple[Array, Array],
    key: PRNGKeyArray,
) -> _Totals:
    n, rate, optimizer = len(examples[1]), trainer.sampling_rate, trainer.optimizer
    every = jnp.array(options.every)
    shape = (len(options.ridges), len(options.every), n)

    def step(carry: tuple[PyTree, PyTree, _Totals], number: Int[Array, ""]):
        params, opt_state, totals = carry
        batch_key, others_key, noise_key = jax.random.split(jax.random.fold_in(key, number), 3)
        grads = gujax.per_example_grads(loss_fn)(params, examples)
        in_batch = jax.random.bernoulli(batch_key, rate, (n,))
        updates, opt_state = optimizer.update(grads, opt_state, params, mask=in_batch)

        decomposed = spectrum(gujax.gram(grads))
        rows = [leaf.reshape(n, -1) for leaf in jax.tree.leaves(gujax.materialize(grads))]
        G = jnp.concatenate(rows, axis=1)
        draws = 2 * options.draws
        others = jax.random.bernoulli(others_key, rate, (n, draws)).astype(G.dtype)
        noise = G @ jax.random.normal(noise_key, (G.shape[1], draws))
        absent, mu_squared = jax.vmap(filtered, (None, 0, None, None, None))(
            decomposed, jnp.array(options.ridges), others, noise, rate
        )
        half = mu_squared[..., None] / 2
        seen = in_batch * (number % every == 0)[:, None]  # [every, n]

        def add(total: Array, found: Array) -> Array:
            weights = seen.reshape(*seen.shape, *(1,) * (found.ndim - 2))
            return total + weights * found[:, None]

        totals = _Totals(
            add(totals.mu_squared, mu_squared),
            add(totals.present, absent[..., : options.draws] + half),
            add(totals.absent, absent[..., options.draws :] - half),
            totals.curve + in_batch * _mu_squared(decomposed, rate),
        )
        return (optax.apply_updates(params, updates), opt_state, totals), None

    empty = _Totals(
        jnp.zeros(shape),
        jnp.zeros((*shape, options.draws)),
        jnp.zeros((*shape, options.draws)),
        jnp.zeros((len(GRID), n)),
    )
    start = (params, optimizer.init(params), empty)
    (_, _, totals), _ = jax.lax.scan(step, start, jnp.arange(trainer.num_steps))
    return totals


def _mu_squared(decomposed: Spectrum, rate: float) -> Float[Array, "grid n"]:
    return uniqueness_under(decomposed, jnp.array(GRID)) / (rate * (1 - rate))
