"""Trains every network with the same effort: all seeds with every learning rate."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from experiments.framework.progress import Steps
from experiments.inversion.sharing import SharedUpdate
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
    """Trains a network with a defense in place; takes a step for every learning rate.

    Initial parameters and batches of a seed are the same for every defense, so that differences
    are paired. Examples that are held out are never trained on: the choice of the learning rate
    needs no training of its own. Models are trained one after another: on CPUs a ``vmap`` over
    networks of this size is no faster.
    """
    split, unseen = task.dataset.train, held_out(len(task.dataset.train))
    plan = training.plan_batches(~unseen, options.batch_size, options.epochs)
    num_steps = plan.steps_per_epoch * options.epochs

    def chain(tuned: dict[str, Array], key: PRNGKeyArray) -> optax.GradientTransformation:
        return optax.chain(
            transforms.mean(batch_size=options.batch_size),
            shared.in_training(key),
            descent("adam", tuned["learning_rate"], 0.0, num_steps),
        )

    def apply(params: PyTree, x: Float[Array, "..."]) -> Float[Array, "... classes"]:
        return shared.model.apply(params["model"], x)

    # The same objects for every rate and seed, so that all trainings share a program.
    loss_fn, make_optimizer = tuned_loss(shared.loss_fn), tuned_optimizer(chain)

    def train_one(rate: float, seed: int) -> tuple[ArrayLike, ArrayLike, ArrayLike]:
        """Accuracy on the held-out examples; loss and test accuracy of every epoch."""
        init_key, key = jax.random.split(jax.random.key(seed))
        params = with_tuned(shared.model.init(init_key), learning_rate=jnp.float32(rate))
        found = training.train_many(
            loss_fn,
            jax.tree.map(lambda leaf: leaf[None], params),
            split,
            make_optimizer,
            member_masks=~unseen[None],
            keys=key[None],
            batch_size=options.batch_size,
            epochs=options.epochs,
            randomized=shared.randomized,
            apply=apply,
            test=task.dataset.test,
        )
        accuracy = _accuracy(apply, found.params, split.x[unseen], split.y[unseen])
        # Only the numbers: networks of one rate at a time fit the memory.
        return (
            accuracy,
            found.steps.loss[0].mean(axis=-1),
            np.asarray(found.epochs.test_accuracy)[0],
        )

    measured = []
    for rate in options.learning_rates:
        with steps.step(f"{task.model_name}, {shared.label}: training at {rate:g}"):
            seeds = [train_one(rate, seed) for seed in range(options.seeds)]
            measured.append([np.array(values) for values in zip(*seeds)])
    validation = np.stack([accuracy for accuracy, _, _ in measured])
    best = int(np.argmax(validation.mean(axis=1)))
    _, loss, test_accuracy = measured[best]
    return Trained(options.learning_rates[best], validation, loss, test_accuracy)


@partial(jax.jit, static_argnums=0)
def _accuracy(apply: Callable, many: PyTree, x: Array, y: Array) -> Float[Array, ""]:
    """Accuracy of one model, whose parameters have a leading axis."""
    params = jax.tree.map(lambda leaf: leaf[0], many)
    return training.accuracy(training.predict(apply, params, x), y)


def held_out(num_examples: int) -> Bool[np.ndarray, " examples"]:
    """The examples that learning rates are judged on, and that nothing is trained on."""
    order = np.random.default_rng(0).permutation(num_examples)
    return order < round(_HELD_OUT * num_examples)
