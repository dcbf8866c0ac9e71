"""The attack by quantile regression, which needs no shadow models."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from gujax.data import class_labels
from gujax.models import mlp
from gujax.validation import typed_keys

_HIDDEN = (64,)
_STEPS, _LOOKS = 20, 25  # steps between two looks at the validation score, and looks
_BATCH, _RATE = 256, 3e-3
_VALIDATION = 0.2  # share of the population that training stops by
_LARGEST_LOG_DEVIATION = 5.0


def quantile_regression(
    phi: Float[np.ndarray, "models examples"],
    x: Float[np.ndarray, "examples ..."],
    y: Int[np.ndarray, " examples"],
    population_phi: Float[np.ndarray, "models population"],
    population_x: Float[np.ndarray, "population ..."],
    population_y: Int[np.ndarray, " population"],
    *,
    key: PRNGKeyArray,
) -> Float[np.ndarray, "models examples"]:
    """Attack by quantile regression (Bertran et al. 2023, arXiv 2307.03694).

    An example is a member if the target's φ on it is above a quantile of what φ would be had it
    not been trained on, and this quantile is learned, as a function of the example, from others
    that the target was not trained on. No shadow model is trained; the target alone is queried. As
    the paper does for images, all quantiles are learned at once, those of a Gaussian whose mean
    and deviation are the outputs of a network, by maximum likelihood. It starts as the best
    constant prediction and stops at the step that is best for a fifth of the population, held out.
    The score, (φ − mean(x, y)) / deviation(x, y), orders as the quantile at which φ lies.

    Args:
        phi: signal of each model on each example, [M, N]; `scaled_confidence`.
        x: features, [N, ...].
        y: labels, whole numbers from 0 on, [N].
        population_phi: signal on examples that no model was trained on, such as the test split,
            [M, Z].
        population_x: their features, [Z, ...].
        population_y: their labels, [Z].
        key: PRNG key of the regressions; all models share its draws.

    Returns:
        Scores, [M, N], higher meaning "member".

    Raises:
        ValueError: if shapes do not match, φ is not finite, or the population has fewer than 10
            examples.
    """
    phi, population_phi = (np.asarray(a, np.float64) for a in (phi, population_phi))
    y, population_y = np.asarray(y), np.asarray(population_y)
    for name, values, features in (
        ("phi", phi, x),
        ("population_phi", population_phi, population_x),
    ):
        if values.shape != (len(phi), len(features)) or not np.isfinite(values).all():
            raise ValueError(
                f"{name} has shape {values.shape}, needed are finite numbers of shape "
                f"{(len(phi), len(features))}, one for each model and each of the features"
            )
    if len(population_x) < 10:
        raise ValueError(
            f"population_x has {len(population_x)} examples, too few to learn quantiles from; "
            "needed are 10 at least, and hundreds to learn much"
        )
    num_classes = int(max(y.max(), population_y.max())) + 1
    labels = (
        class_labels("y", y, len(x)),
        class_labels("population_y", population_y, len(population_x)),
    )
    flat = [np.reshape(np.asarray(a, np.float32), (len(a), -1)) for a in (x, population_x)]
    center, scale = flat[1].mean(axis=0), flat[1].std(axis=0)
    queried, known = (
        jnp.asarray(
            np.hstack([(a - center) / np.where(scale > 0, scale, 1), np.eye(num_classes)[c]]),
            jnp.float32,
        )
        for a, c in zip(flat, labels)
    )
    mean = population_phi.mean(axis=1, keepdims=True)
    deviation = np.maximum(population_phi.std(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    standardized = jnp.asarray((population_phi - mean) / deviation, jnp.float32)
    # Drawn here and not in the compiled part: a random generator takes long to compile.
    order_key, rows_key, init_key = jax.random.split(typed_keys("key", key), 3)
    order = jax.random.permutation(order_key, len(known))
    held_out = int(np.ceil(_VALIDATION * len(known)))
    trained_on, validated = order[held_out:], order[:held_out]
    shape = (_LOOKS, _STEPS, min(_BATCH, len(trained_on)))
    rows = trained_on[jax.random.randint(rows_key, shape, 0, len(trained_on))]
    start = mlp((known.shape[1],), 2, hidden=_HIDDEN).init(init_key)
    center_of, log_deviation = _regress(start, known, standardized, queried, rows, validated)
    return ((phi - mean) / deviation - np.asarray(center_of)) / np.exp(np.asarray(log_deviation))


@jax.jit
@partial(jax.vmap, in_axes=(None, None, 0, None, None, None))
def _regress(
    start: PyTree,
    known: Float[Array, "population features"],
    phi: Float[Array, " population"],
    queried: Float[Array, "examples features"],
    rows: Int[Array, "looks steps batch"],
    validated: Int[Array, " validation"],
) -> tuple[Float[Array, " examples"], Float[Array, " examples"]]:
    """Mean and log deviation of φ for each example that is queried."""
    network = mlp((known.shape[1],), 2, hidden=_HIDDEN)
    outputs = jax.vmap(network.apply, (None, 0))

    def predict(params: PyTree, x: Array) -> tuple[Array, Array]:
        # Less what the network answers before training, so that it starts as a constant.
        mean, log_deviation = (outputs(params, x) - outputs(start, x)).T
        return mean, jnp.clip(log_deviation, -_LARGEST_LOG_DEVIATION, _LARGEST_LOG_DEVIATION)

    def loss(params: PyTree, chosen: Int[Array, " examples"]) -> Float[Array, ""]:
        mean, log_deviation = predict(params, known[chosen])
        return jnp.mean(log_deviation + 0.5 * ((phi[chosen] - mean) / jnp.exp(log_deviation)) ** 2)

    optimizer = optax.adam(_RATE)

    def step(
        state: tuple[PyTree, PyTree], batch: Int[Array, " batch"]
    ) -> tuple[tuple[PyTree, PyTree], None]:
        params, opt_state = state
        updates, opt_state = optimizer.update(jax.grad(loss)(params, batch), opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    def look(state: tuple, batches: Int[Array, "steps batch"]) -> tuple[tuple, None]:
        current, best, lowest = state
        current, _ = jax.lax.scan(step, current, batches)
        reached = loss(current[0], validated)
        better = reached < lowest
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), current[0], best)
        return (current, best, jnp.where(better, reached, lowest)), None

    state = (start, optimizer.init(start)), start, loss(start, validated)
    (_, best, _), _ = jax.lax.scan(look, state, rows)
    return predict(best, queried)
