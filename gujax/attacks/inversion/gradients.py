"""What an honest client shares: the gradient of a batch."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from gujax.models import Model

LossFn = Callable[[PyTree, PyTree], Float[Array, ""]]
GradientFn = Callable[[PyTree, PyTree], PyTree]


@cache  # the same function for the same loss, so that jit finds it again
def batch_gradient(loss_fn: LossFn) -> GradientFn:
    """Gradient of the mean loss of a batch.

    Args:
        loss_fn: loss of one example, ``loss_fn(params, example)``.

    Returns:
        ``gradient_fn(params, examples)``: a pytree like ``params``; every leaf of ``examples`` has
        a leading axis B.
    """

    def gradient_fn(params: PyTree, examples: PyTree) -> PyTree:
        def mean_loss(params: PyTree) -> Float[Array, ""]:
            return jnp.mean(jax.vmap(loss_fn, (None, 0))(params, examples))

        return jax.grad(mean_loss)(params)

    return gradient_fn


@cache
def soft_label_loss(model: Model) -> LossFn:
    """Cross-entropy of one example whose label is an integer or a distribution over classes.

    An attack that does not know the label searches for a distribution.

    Args:
        model: a classifier.

    Returns:
        ``loss_fn(params, (x, y))``, a scalar in nats; y is an integer or has shape [classes].
    """

    def loss_fn(params: PyTree, example: tuple[Array, Array]) -> Float[Array, ""]:
        x, y = example
        logits = model.apply(params, x)
        if jnp.ndim(y) == 0:
            return optax.softmax_cross_entropy_with_integer_labels(logits, y)
        return optax.softmax_cross_entropy(logits, y)

    return loss_fn
