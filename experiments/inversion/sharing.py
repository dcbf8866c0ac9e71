"""What a victim shares under a defense, and what adversaries make of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from experiments.framework.errors import check_option
from gujax import data
from gujax.attacks import inversion
from gujax.attacks.inversion import MatchingLoss
from gujax.models import Model
from gujax.training import GradientFn, LossFn
from gujax.trees import LeafWeights, named_leaves

Examples = tuple[Array, Array]
"""Inputs [B, ...] and labels [B]."""

Share = Callable[[PyTree, Examples, PRNGKeyArray], PyTree]


def _labels(params: PyTree, examples: Examples) -> PyTree:
    return examples[1]


@dataclass(frozen=True)
class Adversary:
    """What an adversary takes a shared update to be.

    Attributes:
        loss_fn: The loss of one example that it takes the victim to differentiate.
        expected: Maps a loss to ``update_fn(params, (inputs, side_information))``, the update that
            it would expect of a candidate.
        leaf_weights: Which leaves it matches.
        matching_loss: How it compares them.
        side_information: ``side_information(params, examples)``, what it knows of the victim beside
            the update: the labels, of a transformation of the core also the weight of every
            example.
        smoothing: Factor on the weight of the total variation.
    """

    loss_fn: LossFn
    expected: Callable[[LossFn], GradientFn] = inversion.batch_gradient
    leaf_weights: LeafWeights = inversion.every_leaf
    matching_loss: MatchingLoss = inversion.cosine_distance
    side_information: Callable[[PyTree, Examples], PyTree] = _labels
    smoothing: float = 1.0

    def model_of_update(self, sharpness: float = 0.0) -> GradientFn:
        """``update_fn(params, (inputs, side_information))``: the update expected of a candidate.

        Args:
            sharpness: Of the second derivative that ReLU is given; 0 for its own, which is 0.
        """
        return _model_of_update(self, sharpness)


@cache  # the same object for the same arguments, so that it is compiled once
def _model_of_update(adversary: Adversary, sharpness: float) -> GradientFn:
    loss_fn = adversary.loss_fn
    return adversary.expected(
        inversion.surrogate_relu(loss_fn, sharpness) if sharpness else loss_fn
    )


def _unchanged(key: PRNGKeyArray) -> optax.GradientTransformation:
    return optax.identity()


@dataclass(frozen=True, kw_only=True)
class SharedUpdate:
    """An update as it is shared under a defense, with the adversaries that it has to stand.

    Attributes:
        label: The defense's name in tables and figures.
        family: Which method it is.
        strength: The method's own setting; None if it has none.
        model: The network, maybe with a bottleneck.
        loss_fn: Loss of one example in training.
        randomized: Whether the loss draws noise: ``loss_fn(params, (x, y, key))``.
        num_classes: Number of classes.
        last_layer: Path of the layer that gives the logits.
        num_examples: Number of examples that one update is about.
        share: ``share(params, examples, key)``, what the victim shares; all noise is the key's.
        naive: The adversary who does not know of the defense.
        adaptive: The one who does; None if none could do better by knowing, because the naive one's
            model of the update is what the victim computes.
        averaged: The one who averages over a bottleneck's noise; None without one.
        bypass: The one who reads what a bottleneck's noise did to the error at the encoder from the
            encoder's own gradient; None but for one example and a fully connected encoder.
        encoder: Path of that encoder.
        told: The one who is told the draws of a bottleneck's noise, as ``(labels, key data of
            every example)``: no attacker, but a bound on those who are not; None without one.
        stochastic: Paths of the leaves that a bottleneck makes stochastic.
        num_clients: Whose updates are averaged, each of as many examples, in their order.
        client: ``client(params, examples, key)``, the update of one of them; None where there is
            only one.
        in_training: ``in_training(key)``, what training with it does to every mean gradient beside
            what the loss does.
    """

    label: str = ""
    family: str = ""
    strength: float | None = None
    model: Model
    loss_fn: LossFn
    randomized: bool
    num_classes: int
    last_layer: str
    num_examples: int
    share: Share
    naive: Adversary
    adaptive: Adversary | None = None
    averaged: Adversary | None = None
    bypass: Adversary | None = None
    encoder: str = ""
    told: Adversary | None = None
    stochastic: tuple[str, ...] = ()
    num_clients: int = 1
    client: Share | None = None
    in_training: Callable[[PRNGKeyArray], optax.GradientTransformation] = _unchanged

    def check_victims(self, count: int) -> None:
        """Raises `UserError` unless the updates divide so many examples."""
        check_option(
            count > 0 and count % self.num_examples == 0,
            f"--victims {count} must be a multiple of the {self.num_examples} examples that an "
            f"update of the defense '{self.label}' is about",
        )


Victims = data.Split
"""N examples whose updates are attacked, their inputs standardized."""


def chosen(split: data.Split, indices: Int[np.ndarray, " examples"]) -> Victims:
    """Some examples of a split."""
    return Victims(split.x[indices], split.y[indices], split.ids[indices])


class Received(NamedTuple):
    """What a server received from V victims of B examples each.

    Attributes:
        shared: How it was shared.
        params: The parameters at which it was computed.
        examples: What they computed it of, each [V, B, ...].
        updates: The updates; every leaf is [V, ...].
        keys: Of the defense's noise, [V], which no attacker has.
    """

    shared: SharedUpdate
    params: PyTree
    examples: Examples
    updates: PyTree
    keys: PRNGKeyArray

    def last_layer(self, name: str) -> Array:
        """Gradients of the last layer's "kernel" or "bias", [V, ...]."""
        return dict(named_leaves(self.updates))[f"{self.shared.last_layer}/{name}"]


def share(shared: SharedUpdate, params: PyTree, victims: Victims, key: PRNGKeyArray) -> Received:
    """The updates about N examples; consecutive ones share one, as many as the defense says.

    Args:
        shared: How they are shared.
        params: Parameters of ``shared.model``.
        victims: The examples.
        key: PRNG key of the defense's noise.

    Raises:
        UserError: The updates do not divide the examples.
    """
    examples = by_update(shared, victims)
    keys = jax.random.split(key, len(examples[1]))
    updates = _share_many(shared.share, params, examples, keys)
    return Received(shared, params, examples, updates, keys)


def by_update(shared: SharedUpdate, victims: Victims) -> Examples:
    """What each update is about, [V, B, ...].

    Raises:
        UserError: The updates do not divide the examples.
    """
    size = shared.num_examples
    shared.check_victims(len(victims))
    count = len(victims) // size
    x = jnp.asarray(victims.x.reshape(count, size, *victims.x.shape[1:]))
    return x, jnp.asarray(victims.y.reshape(count, size))


@partial(jax.jit, static_argnums=0)
def _share_many(share: Share, params: PyTree, examples: Examples, keys: PRNGKeyArray) -> PyTree:
    return jax.vmap(share, (None, 0, 0))(params, examples, keys)
