"""Low precision inside of the loss, and parameters of low precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend import core

from gujax import gradients
from gujax.uniqueness import sketched_uniqueness, uniqueness
from tests.gradients.checks import compiled, double, rows

BATCH = 6


def _mlp(p, example, compute):
    x, y = example
    h = jax.nn.gelu(x.astype(compute) @ p["w1"].astype(compute) + p["b1"].astype(compute))
    logits = (h @ p["w2"].astype(compute)).astype(jnp.float32)
    return jax.nn.logsumexp(logits) - logits[y]


def _language_model(p, tokens, compute):
    p = jax.tree.map(lambda w: w.astype(compute), p)
    h = p["table"][tokens[:-1]]
    h = h + jax.nn.gelu(h @ p["w1"]) @ p["w2"]
    logits = (h @ p["table"].T).astype(jnp.float32)
    picked = jnp.take_along_axis(logits, tokens[1:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - picked)


def _network(p, x, compute):
    dimensions = ("NHWC", "HWIO", "NHWC")
    h = jax.lax.conv_general_dilated(
        x[None].astype(compute),
        p["kernel"].astype(compute),
        (1, 1),
        "SAME",
        dimension_numbers=dimensions,
    )
    h = jax.nn.relu(h + p["bias"].astype(compute)).mean((0, 1, 2))
    return jnp.sum((h @ p["out"].astype(compute)).astype(jnp.float32) ** 2)


def _recurrent(p, xs, compute):
    q = jax.tree.map(lambda w: w.astype(compute), p)

    @jax.checkpoint
    def step(h, x):
        return jnp.tanh(x.astype(compute) @ q["w"] + h @ q["u"]), None

    h = jax.lax.scan(step, jnp.zeros(8, compute), xs)[0]
    return jnp.sum(h.astype(jnp.float32) ** 2)


def _normal(rng, *shape):
    return jnp.asarray(0.5 * rng.normal(size=shape), jnp.float32)


def _setting(name):
    rng = np.random.default_rng(0)
    if name == "mlp":
        params = {"w1": _normal(rng, 12, 16), "b1": _normal(rng, 16), "w2": _normal(rng, 16, 4)}
        return _mlp, params, (_normal(rng, BATCH, 12), jnp.asarray(rng.integers(0, 4, BATCH)))
    if name == "language_model":
        params = {
            "table": _normal(rng, 11, 8),
            "w1": _normal(rng, 8, 12),
            "w2": _normal(rng, 12, 8),
        }
        return _language_model, params, jnp.asarray(rng.integers(0, 11, (BATCH, 6)))
    if name == "network":
        params = {"kernel": _normal(rng, 3, 3, 2, 5), "bias": _normal(rng, 5)}
        return _network, params | {"out": _normal(rng, 5, 3)}, _normal(rng, BATCH, 6, 6, 2)
    params = {"w": _normal(rng, 5, 8), "u": _normal(rng, 8, 8)}
    return _recurrent, params, _normal(rng, BATCH, 4, 5)


SETTINGS = ["mlp", "language_model", "network", "recurrent"]


def _error(found, truth):
    """Largest error of a row relative to the row's norm."""
    return np.max(np.linalg.norm(found - truth, axis=1) / np.linalg.norm(truth, axis=1))


@pytest.mark.parametrize("compute", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", SETTINGS)
def test_low_precision_compute_is_no_worse_than_dense(name, compute):
    """The loss computes in 16 bits, the parameters have 32: factors must not add errors.

    Truth is the same loss in float32. vmap(grad) is away from it by the rounding of 16 bits; the
    factored gradients see the same rounded activations and errors, so they may be away by no more
    (times 1.5, for the luck of rounding), and their Gram matrix by twice as much.
    """
    loss, params, batch = _setting(name)

    def dense(dtype):
        grad = jax.grad(lambda p, example: loss(p, example, dtype))
        return rows(compiled(jax.vmap(grad, in_axes=(None, 0)), params, batch))

    truth, rounded = dense(jnp.float32), dense(compute)
    allowed = 1.5 * _error(rounded, truth)
    assert allowed < 0.1

    def program(params, batch):
        transform = gradients.per_example_grads(lambda p, example: loss(p, example, compute))
        grads = transform(params, batch)
        norms = gradients.squared_norms(grads)
        ones = jnp.ones(BATCH)
        return (
            gradients.materialize(grads),
            gradients.gram(grads),
            norms,
            gradients.weighted_sum(grads, ones),
        )

    per_example, K, norms, total = compiled(program, params, batch)
    assert _error(rows(per_example), truth) <= allowed
    assert K.dtype == jnp.float32
    assert norms.dtype == jnp.float32
    lengths = np.linalg.norm(truth, axis=1)
    scale = np.outer(lengths, lengths)
    assert np.max(np.abs(double(K) - truth @ truth.T) / scale) <= 2 * allowed
    assert np.max(np.abs(double(norms) - lengths**2) / lengths**2) <= 2 * allowed
    flat = np.concatenate([double(leaf).ravel() for leaf in jax.tree.leaves(total)])
    error = np.linalg.norm(flat - truth.sum(0))
    assert error <= allowed * np.linalg.norm(truth, axis=1).sum()
    assert jax.tree.map(lambda g: g.dtype, total) == jax.tree.map(lambda w: w.dtype, params)


@pytest.mark.parametrize("name", SETTINGS)
def test_parameters_of_low_precision(name):
    """bfloat16 parameters: gradients keep their type, inner products are at least float32."""
    loss, params, batch = _setting(name)
    params = jax.tree.map(lambda w: w.astype(jnp.bfloat16), params)
    grad = jax.grad(lambda p, example: loss(p, example, jnp.bfloat16))
    expected = compiled(jax.vmap(grad, in_axes=(None, 0)), params, batch)

    def program(params, batch):
        grads = gradients.per_example_grads(lambda p, e: loss(p, e, jnp.bfloat16))(params, batch)
        return (
            gradients.materialize(grads),
            gradients.gram(grads),
            gradients.weighted_sum(grads, jnp.ones(BATCH)),
        )

    per_example, K, total = compiled(program, params, batch)
    for found, leaf in zip(jax.tree.leaves(per_example), jax.tree.leaves(expected), strict=True):
        assert found.dtype == leaf.dtype == jnp.bfloat16
    assert K.dtype == jnp.float32
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves(total))
    # bfloat16 keeps 8 bits; a gradient is a sum of a few products, rounded after each.
    truth = rows(expected)
    assert _error(rows(per_example), truth) <= 0.03
    lengths = np.linalg.norm(truth, axis=1)
    assert np.max(np.abs(double(K) - truth @ truth.T) / np.outer(lengths, lengths)) <= 0.06


def test_float32_gram_is_accumulated_in_float32():
    """10,000 equal terms: a bfloat16 sum of them would stop growing at 256."""
    width = 10_000
    x, w = jnp.ones((2, width), jnp.bfloat16), jnp.zeros(width, jnp.bfloat16)
    grads = gradients.per_example_grads(lambda w, x: jnp.vdot(w, x).astype(jnp.float32))(w, x)
    np.testing.assert_allclose(gradients.gram(grads), np.full((2, 2), width), rtol=1e-3)
    np.testing.assert_allclose(gradients.squared_norms(grads), np.full(2, width), rtol=1e-3)


def test_a_wider_accumulator_is_respected():
    """float32 factors with `preferred_element_type=float64`, as dense to float32's precision."""
    rng = np.random.default_rng(1)
    params, batch = jnp.asarray(rng.normal(size=(5, 6))), jnp.asarray(rng.normal(size=(4, 3, 5)))

    def loss(p, x):
        product = jax.lax.dot_general(
            x.astype(jnp.float32),
            p.astype(jnp.float32),
            (((1,), (0,)), ((), ())),
            preferred_element_type=jnp.float64,
        )
        return jnp.sum(jnp.tanh(product) ** 2)

    expected = rows(jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, batch))
    grads = gradients.per_example_grads(loss)(params, batch)
    assert _error(rows(gradients.materialize(grads)), expected) <= 1e-6


def test_parameters_of_two_precisions():
    """float32 and float64 parameters in one loss: the Gram matrix is float64."""
    rng = np.random.default_rng(2)
    params = {
        "single": jnp.asarray(rng.normal(size=(5, 4)), jnp.float32),
        "double": jnp.asarray(rng.normal(size=(4, 3)), jnp.float64),
    }
    batch = jnp.asarray(rng.normal(size=(4, 2, 5)), jnp.float32)

    def loss(p, x):
        return jnp.sum(jnp.tanh(jnp.tanh(x @ p["single"]).astype(jnp.float64) @ p["double"]) ** 2)

    expected = jax.vmap(jax.grad(loss), in_axes=(None, 0))(params, batch)
    grads = gradients.per_example_grads(loss)(params, batch)
    K, G = gradients.gram(grads), rows(expected)
    assert K.dtype == jnp.float64
    np.testing.assert_allclose(K, G @ G.T, rtol=1e-6, atol=1e-6)
    total = gradients.weighted_sum(grads, jnp.ones(4))
    assert {name: leaf.dtype for name, leaf in total.items()} == {
        name: leaf.dtype for name, leaf in params.items()
    }


def products(function, *arguments):
    """The precision of every float32 matrix product in the program of `function`."""

    def visit(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                yield equation.params["precision"]
            for inner in core.jaxprs_in_params(equation.params):
                yield from visit(inner)

    return list(visit(jax.make_jaxpr(function)(*arguments).jaxpr))


def _leaf(way):
    """Gradients of one matrix for three examples, as factors."""
    w, x = _normal(np.random.default_rng(0), 7, 7), _normal(np.random.default_rng(1), 3, 2, 7)
    limit = 1000 if way == "outer" else None
    transform = gradients.per_example_grads(
        lambda w, x: jnp.sum((x @ w) ** 2), gram_way=way, memory_limit=limit
    )
    return transform(w, x)


K32 = np.eye(6, dtype=np.float32) + np.float32(0.1)
MEASURED = {
    "gram, inner": lambda: (gradients.gram, _leaf("inner")),
    "gram, outer": lambda: (gradients.gram, _leaf("outer")),
    "norms, inner": lambda: (gradients.squared_norms, _leaf("inner")),
    "gram, dense": lambda: (gradients.gram, np.ones((3, 7, 7), np.float32)),
    "gnq": lambda: (lambda K: uniqueness(K, 0.1), K32),
    "gnq without a ridge": lambda: (uniqueness, K32),
    "sketched gnq": lambda: (lambda x: sketched_uniqueness(x, 1.0), K32),
}


@pytest.mark.parametrize("name", MEASURED)
def test_measured_products_are_computed_in_float32(name):
    """Not in TF32 or bfloat16, where the default is fast: that error is far above eps."""
    with jax.enable_x64(False):
        function, argument = MEASURED[name]()
        found = products(function, argument)
        assert found
        assert all(p == (jax.lax.Precision.HIGHEST,) * 2 for p in found)


@pytest.mark.parametrize("name", MEASURED)
def test_the_caller_may_choose_the_precision(name):
    with jax.enable_x64(False):
        function, argument = MEASURED[name]()
        with jax.default_matmul_precision("tensorfloat32"):
            found = products(function, argument)
        assert found
        assert all(p == (jax.lax.Precision.HIGH,) * 2 for p in found)
