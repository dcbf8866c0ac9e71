"""Trains every network with the same effort: all seeds with every learning rate."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from experiments.framework.progress import Steps
from experiments.inversion import SharedUpdate
from experiments.jobs.precode.options import Options
from experiments.tasks.recipe import descent
from experiments.tasks.task import Task
from experiments.tasks.tuned import tuned_loss, tuned_optimizer, with_tuned
from gujax import training, transforms

_HELD_OUT = 0.1  # share of the training examples that learning rates are judged on


class Trained(NamedTuple):
    """One network, trained.

    Attributes:
        learning_rate: The one that is best on the held-out examples, on the mean over seeds.
        validation: Accuracy of every learning rate on these, [rates, seeds].
        loss: Mean training loss of every epoch, [seeds, epochs], with the chosen learning rate.
        test_accuracy: After every epoch, [seeds, epochs], alike.
    """

    learning_rate: float
    validation: Float[np.ndarray, "rates seeds"]
    loss: Float[np.ndarray, "seeds epochs"]
    test_accuracy: Float[np.ndarray, "seeds epochs"]


def train(task: Task, shared: SharedUpdate, options: Options, steps: Steps) -> Trained:
    """Trains a network with a defense in place.

    Initial parameters and batches of a seed are the same for every defense, so that differences
    are paired. Examples that are held out are never trained on: the choice of the learning rate
    needs no training of its own.

    Args:
        task: The data, standardized.
        shared: The defense: the network, its loss, what is done to its updates.
        options: How long, and with which learning rates.
        steps: Progress; takes a step for every learning rate.
    """
    split = task.dataset.train
    unseen = held_out(len(split))
    train_one = _trainer(task, shared, options, ~unseen)
    measured = []
    for rate in options.learning_rates:
        with steps.step(f"{task.model_name}, {shared.label}: training at {rate:g}"):
            results = [train_one(rate, seed) for seed in range(options.seeds)]
            accuracy = [
                np.mean(_answers(shared, result, split.x[unseen]) == split.y[unseen])
                for result in results
            ]
            # Only the numbers: networks of one rate at a time fit the memory.
            loss = np.concatenate([result.steps.loss.mean(axis=-1) for result in results])
            test = np.concatenate([np.asarray(result.epochs.test_accuracy) for result in results])
            measured.append((accuracy, loss, test))
    validation = np.array([accuracy for accuracy, _, _ in measured])
    best = int(np.argmax(validation.mean(axis=1)))
    _, loss, test = measured[best]
    return Trained(options.learning_rates[best], validation, loss, test)


def _trainer(
    task: Task, shared: SharedUpdate, options: Options, members: Bool[np.ndarray, "examples"]
) -> Callable[[float, int], training.TrainResult]:
    """Trains one model with a learning rate and a seed; all calls share a program.

    Models are trained one after another: on CPUs a ``vmap`` over networks of this size is no
    faster.
    """
    plan = training.plan_batches(members, options.batch_size, options.epochs)
    num_steps = plan.steps_per_epoch * options.epochs

    def chain(tuned: dict[str, Array], key: PRNGKeyArray) -> optax.GradientTransformation:
        return optax.chain(
            transforms.mean(batch_size=options.batch_size),
            shared.in_training(key),
            descent("adam", tuned["learning_rate"], 0.0, num_steps),
        )

    loss_fn, make_optimizer = tuned_loss(shared.loss_fn), tuned_optimizer(chain)

    def apply(params: PyTree, x: Float[Array, "..."]) -> Float[Array, "... classes"]:
        return shared.model.apply(params["model"], x)

    def train_one(learning_rate: float, seed: int) -> training.TrainResult:
        init_key, key = jax.random.split(jax.random.key(seed))
        rate = jnp.asarray(learning_rate, jnp.float32)
        params = with_tuned(shared.model.init(init_key), learning_rate=rate)
        return training.train_many(
            loss_fn,
            jax.tree.map(lambda leaf: leaf[None], params),
            task.dataset.train,
            make_optimizer,
            member_masks=members[None],
            keys=key[None],
            batch_size=options.batch_size,
            epochs=options.epochs,
            randomized=shared.randomized,
            apply=apply,
            test=task.dataset.test,
            progress=False,
        )

    return train_one


def _answers(
    shared: SharedUpdate, result: training.TrainResult, x: Float[np.ndarray, "examples ..."]
) -> Int[np.ndarray, "examples"]:
    """The classes that the one trained model answers."""
    params = jax.tree.map(lambda leaf: leaf[0], result.params["model"])
    return np.asarray(_predict(shared.model.apply, params, x)).argmax(axis=-1)


@partial(jax.jit, static_argnums=0)
def _predict(apply: Callable, params: PyTree, x: Float[Array, "examples ..."]) -> Array:
    return training.predict(apply, params, x)


def held_out(num_examples: int) -> Bool[np.ndarray, "examples"]:
    """The examples that learning rates are judged on, and that nothing is trained on."""
    order = np.random.default_rng(0).permutation(num_examples)
    return order < round(_HELD_OUT * num_examples)
