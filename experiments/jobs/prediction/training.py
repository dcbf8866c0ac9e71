"""Training of a setting's models, all in one program."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from experiments.framework.errors import check_option
from experiments.jobs.prediction.settings import Setting
from experiments.tasks.task import Task, initial_params, load_task, logits_of_many
from gujax import data, training, transforms
from gujax.attacks import membership
from gujax.defenses import insert_dropout, randomized_loss

CLIP = 1.0  # of DP-SGD
RIDGE = 0.1  # of the nats, and of the gate, over the mean squared gradient norm of a batch
POPULATION = 1000  # test examples that RMIA compares with


class Trained(NamedTuple):
    """K models of one setting.

    Attributes:
        params: each leaf [K, ...].
        members: examples that each was trained on, [K, N].
        phi: log-odds of the true class, [K, N].
        population: the same on test examples, [K, Z].
        test_accuracy: [K].
        seconds: what training all of them took.
    """

    params: PyTree
    members: Bool[np.ndarray, "models examples"]
    phi: Float[np.ndarray, "models examples"]
    population: Float[np.ndarray, "models test"]
    test_accuracy: Float[np.ndarray, " models"]
    seconds: float


class Tracked(NamedTuple):
    """What the run of each target shows beside its result.

    Attributes:
        nats: accumulated disclosure, [T, N]; 0 for examples that were not trained on.
        spread: interquartile range of the loss over epochs, [T, N].
        seconds: what measuring added to the training of one model.
    """

    nats: Float[np.ndarray, "targets examples"]
    spread: Float[np.ndarray, "targets examples"]
    seconds: float


@dataclass(frozen=True)
class Trainer:
    """A setting with its data, ready to train.

    Attributes:
        setting: the setting.
        task: data, model and loss; the pool is the training split, even in number.
    """

    setting: Setting
    task: Task

    @property
    def pool(self) -> data.Split:
        """Of whose halves models are trained."""
        return self.task.dataset.train

    @property
    def sampling(self) -> Literal["shuffle", "poisson"]:
        """How batches are drawn."""
        return "poisson" if self.setting.regularization == "DP-SGD" else "shuffle"

    def train(self, members: Bool[np.ndarray, "models examples"], keys: PRNGKeyArray) -> Trained:
        """Trains one model per row."""
        start = time.perf_counter()
        params = jax.block_until_ready(self._train(members, keys, None).params)
        seconds = time.perf_counter() - start
        test = self.task.dataset.test
        outside = logits_of_many(self.task, params, test)
        right = np.mean(outside.argmax(-1) == test.y, axis=1)
        population = membership.scaled_confidence(
            outside[:, :POPULATION], np.asarray(test.y[:POPULATION])
        )
        return Trained(params, members, self.signals(params), population, right, seconds)

    def track(
        self,
        members: Bool[np.ndarray, "targets examples"],
        keys: PRNGKeyArray,
        seconds_per_model: float,
    ) -> Tracked:
        """Trains again with the same randomness, and watches.

        Args:
            members: of the targets, [T, N].
            keys: of the targets, [T].
            seconds_per_model: what training one model takes unwatched.
        """
        losses = []

        def watch(epoch: int, now: training.TrainResult) -> None:
            del epoch
            losses.append(np.logaddexp(0, -self.signals(now.params)))

        start = time.perf_counter()
        result = self._train(members, keys, watch)
        seconds = (time.perf_counter() - start) / len(members) - seconds_per_model
        ledger = training.aggregation_state(result.opt_state).ledger
        assert ledger is not None
        low, high = np.quantile(losses, [0.25, 0.75], axis=0)
        return Tracked(np.asarray(ledger.nats, float), high - low, max(seconds, 0.0))

    def signals(self, params: PyTree) -> Float[np.ndarray, "models examples"]:
        """φ of many models on the pool."""
        logits = logits_of_many(self.task, params, self.pool)
        return membership.scaled_confidence(logits, np.asarray(self.pool.y))

    def _train(
        self,
        members: Bool[np.ndarray, "models examples"],
        keys: PRNGKeyArray,
        watch: Callable[[int, training.TrainResult], None] | None,
    ) -> training.TrainResult:
        setting = self.setting
        counted = len(self.pool) if watch else None
        plan = training.plan_batches(members, setting.batch_size, setting.epochs, self.sampling)
        loss_fn, randomized = _loss(setting, self.task)

        def make_optimizer(key: PRNGKeyArray) -> optax.GradientTransformation:
            return optax.chain(_aggregation(setting, plan, key, counted), *_descent(setting))

        return training.train_many(
            loss_fn,
            initial_params(self.task, keys),
            replace(self.pool, ids=np.arange(len(self.pool), dtype=np.int32)),
            make_optimizer,
            member_masks=members,
            keys=keys,
            batch_size=setting.batch_size,
            epochs=setting.epochs,
            sampling=self.sampling,
            randomized=randomized,
            callback=watch,
        )


def load(setting: Setting, train_size: int | None, epochs: int | None) -> Trainer:
    """The setting with its data.

    Args:
        setting: the setting.
        train_size: keep at most so many examples of the pool.
        epochs: passes over the data instead of the setting's.

    Raises:
        UserError: The data cannot be loaded, or are too few.
    """
    task = load_task(setting.dataset, setting.model, setting.hidden, None, setting.hidden)
    train = task.dataset.train
    sizes = [len(train), setting.train_size, train_size]
    size = min(size for size in sizes if size is not None) // 2 * 2
    check_option(
        size >= 80, f"{setting.name} has a pool of {size} examples; at least 80 are needed"
    )
    task = replace(task, dataset=replace(task.dataset, train=train.prefix(size)))
    fitted = replace(setting, batch_size=min(setting.batch_size, size // 2))
    if epochs is not None:
        fitted = replace(fitted, epochs=epochs)
    return Trainer(fitted, task)


def _loss(setting: Setting, task: Task) -> tuple[Callable, bool]:
    """The training loss of one example, and whether it draws noise."""
    strength = setting.strength
    match setting.regularization:
        case "label smoothing":
            return partial(_smoothed, task.loss_fn, task.dataset.num_classes, strength), False
        case "augmentation":
            augment = training.ShiftAndFlip(int(strength), False)
            return training.augmented_loss(task.loss_fn, augment, 1), True
        case "dropout":
            last_layer = f"layers/{len(setting.hidden)}"  # of an MLP
            return randomized_loss(insert_dropout(task.model, last_layer, strength)), True
    return task.loss_fn, False


def _smoothed(loss_fn: Callable, num_classes: int, share: float, params: PyTree, example: tuple):
    x, y = example
    soft = (1 - share) * jax.nn.one_hot(y, num_classes) + share / num_classes
    return loss_fn(params, (x, soft))


def _aggregation(
    setting: Setting, plan: training.BatchPlan, key: PRNGKeyArray, counted: int | None
) -> optax.GradientTransformation:
    """What reduces per-example gradients; it keeps a ledger of `counted` examples."""
    size = plan.physical_size
    if setting.regularization == "DP-SGD":
        return transforms.dp_sgd(
            CLIP, setting.strength, plan.batch_size, key, batch_size=size, num_examples=counted
        )
    if setting.regularization == "gate":
        return transforms.uniqueness_gate(
            quantile=setting.strength,
            relative_ridge=RIDGE,
            batch_size=size,
            num_examples=counted,
        )
    return transforms.mean(relative_ridge=RIDGE, batch_size=size, num_examples=counted)


def _descent(setting: Setting) -> list[optax.GradientTransformation]:
    rate = setting.learning_rate
    decay = setting.strength if setting.regularization == "weight decay" else 0.0
    if setting.optimizer == "adamw":
        return [optax.adamw(rate, weight_decay=decay)]
    before = [optax.add_decayed_weights(decay)] if decay else []
    if setting.optimizer == "adam":
        return [*before, optax.adam(rate)]
    return [*before, optax.sgd(rate, momentum=0.9 if setting.optimizer == "momentum" else None)]


def halves(count: int, size: int, seed: int) -> tuple[Bool[np.ndarray, "models examples"], Array]:
    """Random halves of the pool and a key per model.

    Args:
        count: number of models.
        size: of the pool.
        seed: of halves, initial parameters, batches and noise.
    """
    halves_key, models_key = jax.random.split(jax.random.key(seed))
    members = np.asarray(training.random_halves(halves_key, count, size))
    return members, jax.random.split(models_key, count)


def one_of(params: PyTree, index: int) -> PyTree:
    """The parameters of one model of many."""
    return jax.tree.map(lambda leaf: leaf[index], params)
