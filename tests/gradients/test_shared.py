"""What all examples share may be of any kind, as for `jax.vmap(jax.grad(loss))`."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gujax

RNG = np.random.default_rng(0)
PARAMS = {"w": RNG.normal(size=(6, 20)), "v": RNG.normal(size=(20, 2))}
DEFAULTS = (True, 1, "sum", jnp.tanh, 1.0)
X = RNG.normal(size=(5, 6))
MLP = eqx.nn.MLP(6, 2, 16, 2, key=jax.random.key(0))


def loss(params, x, *shared, **keywords):
    flag, depth, name, activation, scale = (*shared, *DEFAULTS[len(shared) :])
    scale = keywords.get("scale", scale)
    hidden = x @ params["w"]
    for _ in range(depth):
        hidden = activation(hidden) if flag else hidden
    out = hidden @ params["v"] * scale
    return {"sum": jnp.sum, "max": jnp.max}[name](out**2)


def of_module(arrays, x, static):
    return jnp.sum(eqx.combine(arrays, static)(x) ** 2)


ARRAYS, STATIC = eqx.partition(MLP, eqx.is_inexact_array)
CASES = {
    "a flag": (loss, PARAMS, (False,), {}),
    "a numpy flag": (loss, PARAMS, (np.bool_(False),), {}),
    "a count": (loss, PARAMS, (True, 3), {}),
    "a string": (loss, PARAMS, (True, 1, "max"), {}),
    "a function": (loss, PARAMS, (True, 1, "sum", jnp.sin), {}),
    "a partial function": (loss, PARAMS, (True, 1, "sum", partial(jax.nn.leaky_relu)), {}),
    "a number": (loss, PARAMS, (True, 1, "sum", jnp.tanh, 2.5), {}),
    "a keyword": (loss, PARAMS, (), {"scale": 0.25}),
    "an array as keyword": (loss, PARAMS, (), {"scale": jnp.array(0.25)}),
    "the static half of an Equinox module": (of_module, ARRAYS, (STATIC,), {}),
}


@pytest.mark.parametrize("way", [{}, {"method": "dense"}, {"microbatch_size": 2}], ids=str)
@pytest.mark.parametrize("jitted", [False, True], ids=["outside of jit", "in jit"])
@pytest.mark.parametrize("name", CASES)
def test_equals_vmap_of_grad(name, way, jitted):
    function, params, shared, keywords = CASES[name]

    def found(params, batch):
        grads = gujax.per_example_grads(function, **way)(params, batch, *shared, **keywords)
        return gujax.gram(grads), gujax.weighted_sum(grads, jnp.arange(5.0))

    def expected(params, batch):
        one = jax.grad(lambda p, x: function(p, x, *shared, **keywords))
        grads = jax.vmap(one, (None, 0))(params, batch)
        rows = jnp.concatenate([g.reshape(5, -1) for g in jax.tree.leaves(grads)], axis=1)
        weighted = jax.tree.map(lambda g: jnp.tensordot(jnp.arange(5.0), g, 1), grads)
        return rows @ rows.T, weighted

    result = (jax.jit(found) if jitted else found)(params, X)
    for a, b in zip(jax.tree.leaves(result), jax.tree.leaves(expected(params, X)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_explain_takes_them_too():
    explained = gujax.explain(loss, PARAMS, X[0], False, 1, "max", batch_size=4)
    assert {parameter.name for parameter in explained.parameters} == {"['w']", "['v']"}


# Compiled once, outside of jit as well.


@pytest.fixture
def counted():
    """A loss that counts how often it is traced."""
    traces = []

    def counting(params, x, *shared, **keywords):
        traces.append(None)
        return loss(params, x, *shared, **keywords)

    return counting, traces


@pytest.mark.parametrize("method", ["factored", "dense"])
def test_a_loop_that_makes_the_function_anew(counted, method):
    counting, traces = counted
    first = gujax.per_example_grads(counting, method=method)(PARAMS, X)
    before = len(traces)
    for _ in range(3):
        again = gujax.per_example_grads(counting, method=method)(PARAMS, X)
    assert len(traces) == before
    np.testing.assert_array_equal(gujax.gram(again), gujax.gram(first))


@pytest.mark.parametrize(
    "use",
    [gujax.gram, gujax.squared_norms, lambda g: gujax.weighted_sum(g, jnp.ones(5))],
    ids=["gram", "squared_norms", "weighted_sum"],
)
def test_microbatches(counted, use):
    counting, traces = counted
    use(gujax.per_example_grads(counting, microbatch_size=2)(PARAMS, X))
    before = len(traces)
    for shift in range(3):
        use(gujax.per_example_grads(counting, microbatch_size=2)(PARAMS, X + shift))
    assert len(traces) == before


def test_a_temperature_that_changes_every_step(counted):
    counting, traces = counted
    grads = gujax.per_example_grads(counting)
    norms = [float(gujax.squared_norms(grads(PARAMS, X, scale=s))[0]) for s in (1.0, 2.0)]
    before = len(traces)
    norms.append(float(gujax.squared_norms(grads(PARAMS, X, scale=3.0))[0]))
    assert len(traces) == before
    np.testing.assert_allclose(norms, norms[0] * np.array([1.0, 16.0, 81.0]), rtol=1e-6)


@pytest.mark.parametrize("way", [{}, {"method": "dense"}, {"microbatch_size": 2}], ids=str)
def test_losses_of_one_code_are_told_apart(way):
    """A closure over another value, or a flag of another value, is another loss."""

    def make(scale):
        return lambda params, x: scale * jnp.sum((x @ params["w"]) ** 2)

    norms = [
        gujax.squared_norms(gujax.per_example_grads(make(scale), **way)(PARAMS, X))
        for scale in (1.0, 3.0)
    ]
    np.testing.assert_allclose(norms[1], 9 * norms[0], rtol=1e-6)
    flagged = [
        gujax.squared_norms(gujax.per_example_grads(loss, **way)(PARAMS, X, flag))
        for flag in (True, False)
    ]
    assert not np.allclose(*flagged)
