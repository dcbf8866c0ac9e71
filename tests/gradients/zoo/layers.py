"""The layers that most models are made of."""

import jax
import jax.numpy as jnp

from tests.gradients.zoo.case import BATCH, Case, case


def cross_entropy(logits, label):
    return jax.nn.logsumexp(logits) - logits[label]


def dense(key_w, key_b, width_in, width_out, draw):
    return {key_w: draw(width_in, width_out), key_b: draw(width_out)}


@case
def mlp(draw):
    def loss(p, example):
        x, y = example
        h = jax.nn.relu(x @ p["w1"] + p["b1"])
        h = jnp.tanh(h @ p["w2"] + p["b2"])
        return cross_entropy(h @ p["w3"] + p["b3"], y)

    params = {
        **dense("w1", "b1", 6, 8, draw),
        **dense("w2", "b2", 8, 5, draw),
        **dense("w3", "b3", 5, 3, draw),
    }
    return Case(loss, params, (draw(BATCH, 6), draw.integers(3, BATCH)))


@case
def mlp_without_biases(draw):
    def loss(p, example):
        x, y = example
        return cross_entropy(jax.nn.gelu(x @ p[0]) @ p[1], y)

    return Case(loss, [draw(20, 30), draw(30, 3)], (draw(BATCH, 20), draw.integers(3, BATCH)))


@case
def linear_regression(draw):
    def loss(p, example):
        x, y = example
        return (x @ p["w"] + p["b"] - y) ** 2

    return Case(loss, {"w": draw(5), "b": draw()}, (draw(BATCH, 5), draw(BATCH)))


@case
def weights_on_the_left(draw):
    def loss(p, x):
        return jnp.sum(jnp.tanh(p["w2"] @ jnp.tanh(p["w1"] @ x)) ** 2)

    return Case(loss, {"w1": draw(30, 20), "w2": draw(10, 30)}, draw(BATCH, 20))


def sequence_loss(p, x):
    h = jax.nn.silu(x @ p["w1"] + p["b1"])
    return jnp.mean((h @ p["w2"] + p["b2"]) ** 2)


@case
def sequence_mlp_few_positions(draw):
    params = dense("w1", "b1", 30, 40, draw) | dense("w2", "b2", 40, 20, draw)
    return Case(sequence_loss, params, draw(BATCH, 2, 30))


@case
def sequence_mlp_many_positions(draw):
    params = dense("w1", "b1", 3, 4, draw) | dense("w2", "b2", 4, 2, draw)
    return Case(sequence_loss, params, draw(BATCH, 25, 3))


@case
def grid_mlp(draw):
    """Two position axes."""
    params = dense("w1", "b1", 6, 5, draw) | dense("w2", "b2", 5, 2, draw)
    return Case(sequence_loss, params, draw(BATCH, 2, 3, 6))


@case
def scale_and_shift(draw):
    def loss(p, x):
        return jnp.sum(jnp.tanh(x * p["scale"] + p["shift"]) ** 2) * p["temperature"]

    params = {"scale": draw(5), "shift": draw(3, 1), "temperature": draw()}
    return Case(loss, params, draw(BATCH, 3, 5))


@case
def layer_norm(draw):
    def loss(p, x):
        h = x @ p["w"]
        h = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-5)
        return jnp.sum(jnp.sin(h * p["scale"] + p["bias"]))

    params = {"w": draw(5, 6), "scale": 1 + draw(6), "bias": draw(6)}
    return Case(loss, params, draw(BATCH, 3, 5))


@case
def rms_norm(draw):
    def loss(p, x):
        h = x @ p["w"]
        h = h * jax.lax.rsqrt(jnp.mean(h**2, -1, keepdims=True) + 1e-6) * p["scale"]
        return jnp.sum(jnp.cos(h))

    return Case(loss, {"w": draw(5, 6), "scale": 1 + draw(6)}, draw(BATCH, 3, 5))


@case
def group_norm(draw):
    def loss(p, x):
        h = (x @ p["w"]).reshape(4, 2, 3)
        h = (h - h.mean((0, 2), keepdims=True)) / jnp.sqrt(h.var((0, 2), keepdims=True) + 1e-5)
        return jnp.sum(jnp.sin(h.reshape(4, 6) * p["scale"] + p["bias"]))

    params = {"w": draw(5, 6), "scale": 1 + draw(6), "bias": draw(6)}
    return Case(loss, params, draw(BATCH, 4, 5))


@case
def gated_unit(draw):
    def loss(p, x):
        return jnp.sum(((x @ p["w"]) * jax.nn.sigmoid(x @ p["v"])) @ p["out"])

    params = {"w": draw(6, 5), "v": draw(6, 5), "out": draw(5, 2)}
    return Case(loss, params, draw(BATCH, 3, 6))


@case
def single_head_attention(draw):
    def loss(p, x):
        q, k, v = x @ p["q"], x @ p["k"], x @ p["v"]
        scores = jax.nn.softmax(q @ k.T / 2.0)
        return jnp.sum(jnp.tanh(scores @ v @ p["o"]) ** 2)

    params = {name: draw(6, 6) for name in "qkvo"}
    return Case(loss, params, draw(BATCH, 3, 6))


@case
def multi_head_attention(draw):
    def loss(p, x):
        q, k, v = (jnp.einsum("td,dhk->htk", x, p[name]) for name in "qkv")
        scores = jax.nn.softmax(jnp.einsum("htk,hsk->hts", q, k))
        mixed = jnp.einsum("hts,hsk->thk", scores, v)
        return jnp.sum(jnp.einsum("thk,hkd->td", mixed, p["o"]) ** 2)

    params = {name: draw(6, 2, 3) for name in "qkv"} | {"o": draw(2, 3, 6)}
    return Case(loss, params, draw(BATCH, 4, 6))


@case
def dense_mixture_of_experts(draw):
    def loss(p, x):
        gates = jax.nn.softmax(x @ p["gate"])
        hidden = jax.nn.relu(jnp.einsum("td,edf->tef", x, p["up"]))
        out = jnp.einsum("tef,efd->ted", hidden, p["down"])
        return jnp.sum(jnp.einsum("te,ted->td", gates, out) ** 2)

    params = {"gate": draw(5, 3), "up": draw(3, 5, 4), "down": draw(3, 4, 5)}
    return Case(loss, params, draw(BATCH, 4, 5))


@case
def routed_mixture_of_experts(draw):
    """Top-2 experts, whose weights are gathered from a stack by the data."""

    def loss(p, x):
        gates, chosen = jax.lax.top_k(x @ p["gate"], 2)
        hidden = jax.nn.relu(jnp.einsum("td,tkdf->tkf", x, p["up"][chosen]))
        return jnp.sum(jnp.einsum("tk,tkf->tf", jax.nn.softmax(gates), hidden) ** 2)

    return Case(loss, {"gate": draw(5, 4), "up": draw(4, 5, 3)}, draw(BATCH, 4, 5))


@case
def low_rank_adaptation(draw):
    """W + A B, all trained, and W frozen in a second layer."""

    def loss(p, x, frozen):
        h = jnp.tanh(x @ (p["w"] + 0.5 * p["a"] @ p["b"]))
        return jnp.sum((h @ frozen + (h @ p["c"]) @ p["d"]) ** 2)

    params = {"w": draw(6, 5), "a": draw(6, 2), "b": draw(2, 5), "c": draw(5, 2), "d": draw(2, 4)}
    return Case(loss, params, draw(BATCH, 3, 6), (draw(5, 4),))


@case
def dropout_with_a_key_per_example(draw):
    def loss(p, example):
        key, x = example
        h = jax.nn.relu(x @ p["w1"])
        h = jnp.where(jax.random.bernoulli(key, 0.5, h.shape), 2 * h, 0.0)
        return jnp.sum((h @ p["w2"]) ** 2)

    keys = jax.random.split(jax.random.key(draw.integers(1000)), BATCH)
    return Case(loss, {"w1": draw(6, 8), "w2": draw(8, 2)}, (keys, draw(BATCH, 6)))


@case
def dropout_with_a_raw_key_per_example(draw):
    def loss(p, example):
        h = example["x"] @ p["w1"]
        keep = jax.random.bernoulli(example["key"], 0.5, h.shape)
        return jnp.sum((jnp.where(keep, h, 0.0) @ p["w2"]) ** 2)

    keys = jax.random.split(jax.random.PRNGKey(draw.integers(1000)), BATCH)
    batch = {"key": keys, "x": draw(BATCH, 6)}
    return Case(loss, {"w1": draw(6, 8), "w2": draw(8, 2)}, batch)
