"""Losses with kernels and with references of their own: what they write to is their own affair."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas
from jax.experimental.pallas.ops.gpu import attention

from gujax import gradients
from tests.gradients.checks import assert_exact, compiled

RNG = np.random.default_rng(0)


def normal(*shape):
    return np.float32(RNG.normal(size=shape) / 2)


def accumulating(p, x):
    """A reference that is written before and after a parameter is used."""
    total = jax.new_ref(jnp.zeros_like(x @ p["first"]))
    total[...] += x @ p["first"]
    total[...] = jnp.tanh(total[...])
    return jnp.sum((total[...] @ p["second"]) ** 2)


def summing(p, x):
    """A reference to a scalar, written several times."""
    total = jax.new_ref(jnp.zeros((), x.dtype))
    for power in (1, 2):
        total[...] += jnp.sum(jnp.tanh(x @ p["first"] @ p["second"]) ** power)
    return total[...] ** 2


def looping(p, x):
    """A reference that a loop writes to."""
    state = jax.new_ref(jnp.zeros_like(x))

    def step(i, _):
        state[...] = jnp.tanh(state[...] @ p["first"] @ p["second"] + x * (1 + i))

    jax.lax.fori_loop(0, 3, step, None)
    return jnp.sum(state[...] @ p["first"])


REFERENCES = [accumulating, summing, looping]
MATRICES = {"first": normal(4, 3), "second": normal(3, 4)}


@pytest.mark.parametrize("loss", REFERENCES)
def test_references_of_the_loss(loss):
    params, batch, others = (jax.tree.map(np.float64, x) for x in (MATRICES, *BATCHES))
    assert_exact(loss, params, batch, others)


BATCHES = normal(5, 4), normal(2, 4)


def tanh_kernel(x, w, out):
    out[...] = jnp.tanh(x[...] @ w[...])


@jax.custom_vjp
def layer(x, w):
    shape = jax.ShapeDtypeStruct((x.shape[0], w.shape[1]), x.dtype)
    return pallas.pallas_call(tanh_kernel, out_shape=shape, interpret=True)(x, w)


def forward(x, w):
    y = layer(x, w)
    return y, (x, w, y)


def backward(kept, error):
    x, w, y = kept
    error = error * (1 - y * y)
    return error @ w.T, x.T @ error


layer.defvjp(forward, backward)


def own_kernel(p, x):
    return jnp.sum((layer(x, p["first"]) @ p["second"]) ** 2)


def flash_attention(p, x):
    heads = [jnp.reshape(x @ p[name], (1, 16, 1, 16)) for name in ("q", "k", "v")]
    blocks = attention.BlockSizes(16, 16, 16, 16, 16, 16)
    mixed = attention.mha(*heads, None, block_sizes=blocks, causal=True, interpret=True)
    return jnp.sum(jnp.tanh(mixed.reshape(16, 16) @ p["out"]) ** 2)


KERNELS = {
    "own": (own_kernel, MATRICES, (normal(3, 4, 4), normal(2, 4, 4))),
    "attention": (
        flash_attention,
        {"q": normal(4, 16), "k": normal(4, 16), "v": normal(4, 16), "out": normal(16, 2)},
        (normal(3, 16, 4), normal(2, 16, 4)),
    ),
}


@pytest.mark.parametrize("name", KERNELS)
def test_kernels(name):
    loss, params, (batch, others) = KERNELS[name]
    with jax.enable_x64(False):  # the attention kernel counts in int32
        assert_exact(loss, params, batch, others, rtol=1e-5)


CASES = {
    "accumulating": (accumulating, MATRICES, BATCHES),
    "looping": (looping, MATRICES, BATCHES),
    "own kernel": KERNELS["own"],
}


@pytest.mark.parametrize("way", [{"method": "dense"}, {"microbatch_size": 2}], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_other_ways(name, way):
    loss, params, (batch, _) = CASES[name]

    def gram(way, params, batch):
        return gradients.gram(gradients.per_example_grads(loss, **way)(params, batch))

    expected = compiled(partial(gram, {}), params, batch)
    scale = np.max(np.abs(expected))
    found = compiled(partial(gram, way), params, batch)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * scale)
    assert scale > 0
