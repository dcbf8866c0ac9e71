"""Models that draw noise in training: their loss, and their gradient averaged over the noise."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from gujax.models import Model
from gujax.training import BatchGradient, GradientFn, LossFn, cross_entropy
from gujax.validation import check_count, check_nonnegative, typed_keys

Sample = Callable[
    [PyTree, Float[Array, "..."], PRNGKeyArray],
    tuple[Float[Array, " classes"], Float[Array, ""]],
]


@dataclass(frozen=True, kw_only=True)
class RandomizedModel(Model):
    """A model that draws noise in training.

    As a `Model`, it is evaluated: ``apply`` draws nothing.

    Attributes:
        sample: maps ``(params, x, key)`` of one example x [*input] to its logits [classes], with
            noise drawn from the key, and a divergence that the loss may weigh: of a variational
            bottleneck the KL divergence in bits, of dropout 0.
    """

    sample: Sample


@cache  # the same function for the same model, so that jit finds it again
def randomized_loss(model: RandomizedModel, beta: float = 0.0) -> LossFn:
    """Loss of one example in training: cross-entropy + beta · divergence.

    Args:
        model: a model that draws noise, such as one of `insert_dropout`.
        beta: weight of the divergence.

    Returns:
        ``loss_fn(params, (x, y, key))``, a scalar; y is an integer or a distribution over classes,
        [classes]. The key is that of the example's noise, so that examples of a batch differ:
        ``jax.random.split(key, batch_size)``, fresh in every step.

    Raises:
        ValueError: if ``beta`` is negative.
    """
    check_nonnegative("beta", beta)

    def loss_fn(params: PyTree, example: tuple[Array, Array, PRNGKeyArray]) -> Float[Array, ""]:
        x, y, key = example
        logits, divergence = model.sample(params, x, key)
        return cross_entropy(logits, y) + beta * divergence

    return loss_fn


def noise_averaged(gradient_fn: GradientFn, key: PRNGKeyArray, num_samples: int = 1) -> GradientFn:
    """The gradient averaged over the noise, as an attacker who cannot know it would model it.

    The same draws are used in every call, so that a search has a fixed objective. With one draw
    it is the attack that guesses the noise. Keep the function: every new one is compiled anew.

    Args:
        gradient_fn: ``gradient_fn(params, (x, y, keys))`` of a randomized loss, such as
            ``batch_gradient(randomized_loss(model))``.
        key: PRNG key of the draws.
        num_samples: number of draws.

    Returns:
        ``gradient_fn(params, (x, y))``, to be given to `gujax.attacks.inversion.invert`.

    Raises:
        ValueError: if ``num_samples`` is below 1.
    """
    check_count("num_samples", num_samples)
    key = typed_keys("key", key)
    if isinstance(gradient_fn, BatchGradient):

        def draws(examples: PyTree) -> PyTree:
            x, y = examples
            keys = jax.random.split(key, (num_samples, len(x)))
            x, y = (jnp.tile(a, (num_samples, *(1,) * (a.ndim - 1))) for a in (x, y))
            return x, y, keys.reshape(-1)

        return replace(gradient_fn, draws=draws)

    def averaged(params: PyTree, examples: PyTree) -> PyTree:
        x, y = examples
        keys = jax.random.split(key, (num_samples, len(x)))
        gradients = jax.vmap(lambda k: gradient_fn(params, (x, y, k)))(keys)
        return jax.tree.map(lambda g: g.mean(axis=0), gradients)

    return averaged
