"""Mixtures of experts by `lax.ragged_dot`, for which JAX has no `vmap`: one example at a time."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import gradients
from tests.gradients.checks import assert_trees_near, compiled, rows

RNG = np.random.default_rng(0)
EXPERTS, WIDTH, HIDDEN = 4, 5, 6
PARAMS = {
    "route": RNG.normal(size=(WIDTH, EXPERTS)),
    "up": RNG.normal(size=(EXPERTS, WIDTH, HIDDEN)) / 2,
    "down": RNG.normal(size=(EXPERTS, HIDDEN, WIDTH)) / 2,
}
BATCH = RNG.normal(size=(6, 7, WIDTH))


def mixture(p, x):
    """Every position goes to its expert, weighted by the router."""
    scores = jax.nn.softmax(x @ p["route"])
    expert = jnp.argmax(scores, -1)
    order = jnp.argsort(expert)
    sizes = jnp.bincount(expert, length=EXPERTS)
    h = jax.nn.gelu(jax.lax.ragged_dot(x[order], p["up"], sizes))
    y = jax.lax.ragged_dot(h, p["down"], sizes)
    return jnp.sum((y * scores.max(-1)[order][:, None] + x[order]) ** 2)


def same_groups(p, x):
    """Groups that are the same for all examples, one of them empty."""
    h = jax.lax.ragged_dot(x, p["up"], jnp.array([1, 3, 0, 3]))
    return jnp.sum(jnp.tanh(h)) + jnp.sum(p["route"] ** 2) + jnp.sum(p["down"] ** 2)


def dropping(p, x):
    """The last rows go to no expert."""
    sizes = jnp.where(x[0, 0] > 0, jnp.array([2, 1, 1, 0]), jnp.array([0, 3, 0, 2]))
    h = jnp.tanh(jax.lax.ragged_dot(x, p["up"], sizes))
    return jnp.sum(jax.lax.ragged_dot(h, p["down"], sizes) ** 2) + jnp.sum(p["route"] ** 2)


@pytest.mark.parametrize("way", [{}, {"gram_way": "inner"}, {"method": "dense"}], ids=str)
@pytest.mark.parametrize("loss", [mixture, same_groups, dropping])
def test_mixtures_of_experts(loss, way):
    def program(params, batch):
        grads = gradients.per_example_grads(loss, **way)(params, batch)
        return (
            gradients.materialize(grads),
            gradients.gram(grads),
            gradients.squared_norms(grads),
            gradients.weighted_sum(grads, jnp.arange(1.0, 7.0)),
        )

    alone = lambda p, batch: jax.lax.map(partial(jax.grad(loss), p), batch)  # noqa: E731
    expected = compiled(alone, PARAMS, BATCH)
    dense, K, norms, total = compiled(program, PARAMS, BATCH)
    assert_trees_near(dense, expected, 1e-10, "materialize")
    G = rows(expected)
    np.testing.assert_allclose(K, G @ G.T, rtol=0, atol=1e-10 * np.max(np.sum(G**2, 1)))
    np.testing.assert_allclose(norms, np.sum(G**2, 1), rtol=1e-10)
    sums = jax.tree.map(lambda g: np.tensordot(np.arange(1.0, 7.0), np.asarray(g), 1), expected)
    assert_trees_near(total, jax.tree.map(jnp.asarray, sums), 1e-10, "weighted_sum")


def test_experts_are_factored():
    report = gradients.explain(mixture, PARAMS, BATCH[0])
    assert not report.fallbacks
    assert [parameter.sites for parameter in report.parameters] == [1, 1, 1]
