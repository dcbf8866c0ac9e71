"""The networks whose gradients are looked at: trained with and without dropout, at some epochs."""

from functools import cache
from typing import NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import PyTree

from experiments.jobs.leakage.conditions import At
from experiments.jobs.leakage.plan import Plan
from gujax import defenses, training, transforms
from gujax.models import Model
from gujax.training import LossFn

_NOISE = 1  # of a seed's key, as in `measure`


class Network(NamedTuple):
    """A network at one moment of its training, and the loss that gradients are of.

    Attributes:
        loss_fn: Loss of one example.
        randomized: Whether it draws noise: ``loss_fn(params, (x, y, key))``.
        params: The parameters.
    """

    loss_fn: LossFn
    randomized: bool
    params: PyTree


def train_networks(plan: Plan, seed: int) -> dict[At, Network]:
    """A network for every dropout rate and epoch that a condition asks for.

    All start from the same parameters and see the same batches.
    """
    task = plan.task
    batch_size = min(plan.options.batch_size, len(task.dataset.train))
    networks: dict[At, Network] = {}
    for rate in dict.fromkeys(condition.dropout for condition in plan.conditions):
        epochs = sorted({c.epoch for c in plan.conditions if c.dropout == rate})
        model = _dropping(task.model, plan.dropped, rate) if rate else None
        loss_fn = defenses.randomized_loss(model) if model else task.loss_fn
        kept = {0: task.model.init(jax.random.key(seed))}

        def keep(epoch: int, result: training.TrainResult, kept=kept, epochs=epochs) -> None:
            if epoch + 1 in epochs:
                kept[epoch + 1] = jax.tree.map(np.asarray, result.params)

        if epochs[-1]:
            training.train(
                loss_fn,
                kept[0],
                task.dataset.train,
                _optimizer(plan.options.learning_rate, batch_size),
                batch_size=batch_size,
                epochs=epochs[-1],
                key=jax.random.key(seed),
                randomized=model is not None,
                callback=keep,
            )
        for epoch in epochs:
            networks[rate, epoch] = Network(loss_fn, model is not None, kept[epoch])
    return networks


def batch_of(network: Network, x: np.ndarray, y: np.ndarray, seed: int) -> PyTree:
    """Examples as the network's loss takes them, each with a draw of its noise."""
    if not network.randomized:
        return x, y
    return x, y, jax.random.split(jax.random.fold_in(jax.random.key(seed), _NOISE), len(y))


# Cached, so that every seed gets the same objects and nothing is compiled again.


@cache
def _dropping(model: Model, layers: tuple[str, ...], rate: float) -> defenses.RandomizedModel:
    return defenses.insert_dropout(model, layers, rate)


@cache
def _optimizer(learning_rate: float, batch_size: int) -> optax.GradientTransformationExtraArgs:
    return optax.chain(transforms.mean(batch_size=batch_size), optax.adam(learning_rate))
