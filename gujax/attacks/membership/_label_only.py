"""The attack that sees nothing but predicted labels."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from gujax.data import class_labels
from gujax.training import Apply, predict
from gujax.validation import check_count, check_positive, typed_keys


def label_robustness(
    apply: Apply,
    params: PyTree,
    x: Float[np.ndarray, "examples ..."],
    y: Int[np.ndarray, " examples"],
    *,
    scales: Sequence[float],
    num_draws: int,
    key: PRNGKeyArray,
) -> Float[np.ndarray, "models examples"]:
    """How robustly models predict the label of each example, under noise in its features.

    The label-only attack (Choquette-Choo et al. 2021, arXiv 2007.14321, section 3): a member lies
    farther from the decision boundary, so that its label survives more noise. Each example is
    queried as it is and under Gaussian noise of every scale, with the same noise for all models.
    As a score it needs no shadow models; as the signal of `lira` (``variance="shrunk",
    shared=True``) it is the strongest attack on a model that releases labels only.

    Args:
        apply: maps ``(params, x)`` of one example to logits; ``model.apply``.
        params: parameters of M models, each leaf with a leading axis M.
        x: features, [N, ...].
        y: labels, whole numbers from 0 on, [N].
        scales: standard deviations of the noise, in units of the features, from one that changes
            few labels to one that changes most.
        num_draws: noise vectors per scale; a model is queried 1 + scales × draws times per example.
        key: PRNG key of the noise.

    Returns:
        Log-odds of the right label among r right answers of Q, log((r + ½) / (Q − r + ½)), [M, N].

    Raises:
        ValueError: if there is no scale, one is not positive, ``num_draws`` is below 1, or ``y``
            has not one label per example.
    """
    if not len(scales):
        raise ValueError("scales is empty; give one standard deviation of the noise at least")
    check_positive("scales", np.asarray(scales))
    check_count("num_draws", num_draws)
    labels = jnp.asarray(class_labels("y", y, len(x)))
    features = jnp.asarray(x)
    # Drawn here and not in the compiled part: a random generator takes long to compile.
    right = _right(apply, params, features, labels)
    for scale, scale_key in zip(scales, jax.random.split(typed_keys("key", key), len(scales))):
        for draw_key in jax.random.split(scale_key, num_draws):
            noise = scale * jax.random.normal(draw_key, features.shape, features.dtype)
            right += _right(apply, params, features + noise, labels)
    count, queries = np.asarray(right, np.float64), 1 + len(scales) * num_draws
    return np.log((count + 0.5) / (queries - count + 0.5))


@partial(jax.jit, static_argnums=0)
def _right(apply: Apply, params: PyTree, x: Array, y: Array) -> Int[Array, "models examples"]:
    """Whether each model's label of each example is right, as 0 or 1."""
    logits = jax.vmap(lambda one: predict(apply, one, x))(params)
    return (jnp.argmax(logits, axis=-1) == y[None]).astype(jnp.int32)
