"""Losses and predictions of classifiers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from gujax.hashing import hashable
from gujax.models import Model

AnyArray = Array | np.ndarray
Apply = Callable[[PyTree, Float[Array, "..."]], Float[Array, "... classes"]]
LossFn = Callable[[PyTree, PyTree], Float[Array, ""]]
GradientFn = Callable[[PyTree, PyTree], PyTree]

_CHUNK = 1024  # examples per forward pass: bounds the memory for activations


@cache  # the same function for the same model, so that jit finds it again
def cross_entropy_loss(model: Model) -> LossFn:
    """Cross-entropy of one example.

    Args:
        model: a classifier.

    Returns:
        ``loss_fn(params, (x, y))``, a scalar in nats, for one example x; its label y is an integer
        or, as an attack that does not know it searches for, a distribution over classes, [classes].
    """

    def loss_fn(params: PyTree, example: tuple[Array, Array]) -> Float[Array, ""]:
        x, y = example
        return cross_entropy(model.apply(params, x), y)

    return loss_fn


def cross_entropy(logits: Float[Array, " classes"], y: Array) -> Float[Array, ""]:
    """Cross-entropy, in nats, with a label that is an integer or a distribution, [classes].

    An integer must be from 0 to classes - 1: inside of jit there is no telling.

    Raises:
        ValueError: if ``y`` is neither.
    """
    y = jnp.asarray(y)
    if y.shape == () and jnp.issubdtype(y.dtype, jnp.integer):
        return optax.softmax_cross_entropy_with_integer_labels(logits, y)
    if y.shape == logits.shape and y.ndim == 1:
        return optax.softmax_cross_entropy(logits, y)
    raise ValueError(
        f"y of one example has shape {y.shape} and type {y.dtype}, needed is an integer or a "
        f"distribution over classes, {logits.shape}; give a batch integer labels [N]: "
        "y.reshape(-1).astype(int)"
    )


@dataclass(frozen=True)
class BatchGradient:
    """Gradient of the mean loss of a batch; called, it gives a pytree like the parameters.

    Attributes:
        loss_fn: loss of one example, ``loss_fn(params, example)``.
        draws: maps the examples that it is given to those whose mean loss is meant, as when noise
            is averaged over; None for the same.
    """

    loss_fn: LossFn
    draws: Callable[[PyTree], PyTree] | None = None

    def __post_init__(self) -> None:
        """Make the loss one that can be hashed."""
        object.__setattr__(self, "loss_fn", hashable(self.loss_fn))

    def examples(self, given: PyTree) -> PyTree:
        """The examples whose mean loss is meant."""
        return given if self.draws is None else self.draws(given)

    def __call__(self, params: PyTree, examples: PyTree) -> PyTree:
        examples = self.examples(examples)

        def mean_loss(params: PyTree) -> Float[Array, ""]:
            return jnp.mean(jax.vmap(self.loss_fn, (None, 0))(params, examples))

        return jax.grad(mean_loss)(params)


def batch_gradient(loss_fn: LossFn) -> BatchGradient:
    """Gradient of the mean loss of a batch: a plain step's, and what an honest client shares.

    Args:
        loss_fn: loss of one example, ``loss_fn(params, example)``.

    Returns:
        ``gradient_fn(params, examples)``: a pytree like ``params``; every leaf of ``examples`` has
        a leading axis B. It equals every other of the same loss, so that jit finds it again.
    """
    return BatchGradient(loss_fn)


def predict(
    apply: Apply, params: PyTree, x: Float[AnyArray, "examples ..."]
) -> Float[Array, "examples classes"]:
    """Logits of many examples, some at a time.

    Args:
        apply: maps ``(params, x)`` to logits; ``model.apply``.
        params: parameters of one model; ``jax.vmap`` over this function for many.
        x: features, [N, ...].

    Returns:
        Logits, [N, classes].
    """
    return jax.lax.map(partial(apply, params), x, batch_size=_CHUNK)


def accuracy(
    logits: Float[AnyArray, "examples classes"],
    y: Int[AnyArray, " examples"],
    mask: Bool[AnyArray, " examples"] | None = None,
) -> Float[Array, ""]:
    """Share of examples whose largest logit is that of the label.

    Args:
        logits: [N, classes].
        y: labels, [N].
        mask: False for examples not to count, [N].

    Returns:
        The share, between 0 and 1.

    Raises:
        ValueError: if ``y`` has not one label per example.
    """
    if jnp.shape(y) != jnp.shape(logits)[:-1]:
        raise ValueError(
            f"y has shape {jnp.shape(y)}, needed is one label for each example of logits, "
            f"{jnp.shape(logits)[:-1]}"
        )
    return jnp.average(jnp.argmax(logits, axis=-1) == y, weights=mask)
