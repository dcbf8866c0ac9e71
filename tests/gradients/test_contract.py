"""Factored equals dense, on every loss of the zoo, for every function of the contract."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax import gradients
from tests.gradients.checks import assert_exact, assert_trees_near, dense, largest_array, rows
from tests.gradients.zoo import CASES


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_dense(name):
    loss, params, batch, shared = CASES[name]()
    assert_exact(loss, params, batch, CASES[name](1).batch, shared)


SOME = [
    "mlp",
    "convolutional_classifier",
    "tied_language_model",
    "stacked_layers",
    "sorted_weights",
]


@pytest.mark.parametrize("method", ["factored", "dense"])
@pytest.mark.parametrize("name", SOME)
def test_without_jit(name, method):
    """Called as a notebook does: one function after another, on concrete arrays."""
    loss, params, batch, _ = CASES[name]()
    values, expected = dense(loss, params, batch)
    G = rows(expected)
    found, grads = gradients.value_and_per_example_grads(loss, method=method)(params, batch)
    scale = np.max(np.abs(G @ G.T))
    np.testing.assert_allclose(found, values, rtol=1e-12)
    np.testing.assert_allclose(gradients.gram(grads), G @ G.T, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(gradients.squared_norms(grads), np.sum(G**2, 1), rtol=1e-12)
    total = gradients.weighted_sum(grads, jnp.ones(len(G)))
    assert_trees_near(total, jax.tree.map(lambda g: g.sum(0), expected), 1e-12, "weighted_sum")
    assert_trees_near(gradients.materialize(grads), expected, 1e-12, "materialize")
    assert gradients.num_examples(grads) == len(G)


@pytest.mark.parametrize("method", ["factored", "dense"])
def test_aux_is_returned_per_example(method):
    loss, params, (x, y), _ = CASES["mlp"]()

    def loss_with_aux(p, example):
        value = loss(p, example)
        return value, {"twice": 2 * value, "label": example[1], "constant": 3.0}

    transform = gradients.value_and_per_example_grads(loss_with_aux, has_aux=True, method=method)
    (values, aux), grads = transform(params, (x, y))
    expected, _ = dense(loss, params, (x, y))
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    np.testing.assert_allclose(aux["twice"], 2 * expected, rtol=1e-12)
    np.testing.assert_array_equal(aux["label"], y)
    np.testing.assert_array_equal(aux["constant"], np.full(len(y), 3.0))

    only_grads, aux = gradients.per_example_grads(loss_with_aux, has_aux=True, method=method)(
        params, (x, y)
    )
    np.testing.assert_array_equal(aux["label"], y)
    np.testing.assert_allclose(gradients.gram(only_grads), gradients.gram(grads), rtol=1e-12)


def test_aux_may_hold_parameters_and_gradients_of_nothing():
    def loss(p, x):
        h = x @ p["w"]
        return jnp.sum(h**2), (p["w"], h, None, jax.lax.stop_gradient(h), jnp.argmax(h))

    params, batch = {"w": jnp.ones((3, 2))}, jnp.arange(12.0).reshape(4, 3)
    _, (w, h, nothing, stopped, best) = gradients.per_example_grads(loss, has_aux=True)(
        params, batch
    )
    assert w.shape == (4, 3, 2)
    assert nothing is None
    np.testing.assert_allclose(h, batch @ params["w"], rtol=1e-5)
    np.testing.assert_allclose(stopped, h, rtol=1e-6)
    np.testing.assert_array_equal(best, np.zeros(4))


@pytest.mark.parametrize("name", SOME)
def test_factored_and_dense_gradients_meet_in_one_gram(name):
    """Two ways to compute the same gradients are gradients of the same loss."""
    loss, params, batch, _ = CASES[name]()
    factored = gradients.per_example_grads(loss)(params, batch)
    direct = gradients.per_example_grads(loss, method="dense")(params, batch)
    expected = gradients.gram(direct)
    scale = 1e-12 * jnp.max(jnp.abs(expected))
    np.testing.assert_allclose(gradients.gram(factored, direct), expected, rtol=0, atol=scale)
    np.testing.assert_allclose(gradients.gram(direct, factored), expected, rtol=0, atol=scale)


@pytest.mark.parametrize("name", SOME)
def test_cross_gram_is_transposed_when_turned_round(name):
    loss, params, batch, _ = CASES[name]()
    grads_fn = gradients.per_example_grads(loss)
    grads = grads_fn(params, batch)
    others = grads_fn(params, jax.tree.map(lambda x: x[1:3], CASES[name](1).batch))
    np.testing.assert_allclose(
        gradients.gram(grads, others), gradients.gram(others, grads).T, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("name", SOME)
def test_gram_against_gradients_at_other_parameters(name):
    """Influence along a training run: the examples' gradients at two points."""
    loss, params, batch, _ = CASES[name]()
    other_params = CASES[name](1).params
    grads_fn = gradients.per_example_grads(loss)
    G, H = rows(dense(loss, params, batch)[1]), rows(dense(loss, other_params, batch)[1])
    cross = gradients.gram(grads_fn(params, batch), grads_fn(other_params, batch))
    np.testing.assert_allclose(cross, G @ H.T, rtol=0, atol=1e-12 * np.max(np.abs(G @ H.T)))


def test_weighted_sum_takes_any_real_weights():
    loss, params, batch, _ = CASES["mlp"]()
    grads = gradients.per_example_grads(loss)(params, batch)
    expected = jax.tree.map(lambda g: g[0] + g[2], dense(loss, params, batch)[1])
    for weights in (np.array([1.0, 0, 1, 0]), [1, 0, 1, 0], jnp.array([True, False, True, False])):
        total = gradients.weighted_sum(grads, jnp.asarray(weights))
        assert_trees_near(total, expected, 1e-12, "weighted_sum")


def test_one_transform_serves_other_sizes_and_types():
    """The plan of one call must not be used for the next."""
    loss, params, (x, y), _ = CASES["mlp"]()
    grads_fn = gradients.per_example_grads(loss)
    for cut, dtype in [(4, jnp.float64), (3, jnp.float64), (4, jnp.float32), (1, jnp.float64)]:
        p = jax.tree.map(lambda w, dtype=dtype: jnp.asarray(w, dtype), params)
        batch = (jnp.asarray(x[:cut], dtype), y[:cut])
        G = rows(dense(loss, p, batch)[1])
        grads = grads_fn(p, batch)
        tolerance = 1e-12 if dtype == jnp.float64 else 1e-5
        assert gradients.gram(grads).dtype == dtype
        np.testing.assert_allclose(gradients.gram(grads), G @ G.T, rtol=tolerance, atol=tolerance)


def test_a_loss_that_changes_with_python_state_is_traced_anew():
    """A new closure is a new loss, even where it has the same code."""

    def loss_of_power(power):
        return lambda p, x: jnp.sum((x @ p) ** power)

    params, batch = jnp.ones((3, 2)), jnp.arange(12.0).reshape(4, 3) / 10
    for power in (2, 3):
        loss = loss_of_power(power)
        found = gradients.materialize(gradients.per_example_grads(loss)(params, batch))
        np.testing.assert_allclose(found, dense(loss, params, batch)[1], rtol=1e-12)


def test_per_example_gradients_of_a_wide_layer_are_never_formed():
    """No array of the program is as large as two examples' gradients of the layer."""
    width, batch = 512, jnp.ones((8, 512))
    params = {"w": jnp.ones((width, width)), "b": jnp.ones(width)}

    def everything(params, batch):
        grads = gradients.per_example_grads(
            lambda p, x: jnp.sum(jnp.tanh(x @ p["w"] + p["b"]) ** 2)
        )(params, batch)
        norms = gradients.squared_norms(grads)
        return gradients.gram(grads), norms, gradients.weighted_sum(grads, norms)

    assert largest_array(everything, params, batch) < 2 * width**2
