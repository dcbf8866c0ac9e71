"""One parameter at several places."""

import jax
import jax.numpy as jnp

from tests.gradients.zoo.case import BATCH, Case, case, squared


def token_loss(logits, targets):
    picked = jnp.take_along_axis(logits, targets[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - picked)


@case
def tied_language_model(draw):
    def loss(p, tokens):
        h = p["table"][tokens[:-1]] + p["positions"]
        h = h + jax.nn.gelu(h @ p["w1"]) @ p["w2"]
        return token_loss(h @ p["table"].T, tokens[1:])

    params = {
        "table": draw(11, 5),
        "positions": draw(6, 5),
        "w1": draw(5, 8),
        "w2": draw(8, 5),
    }
    return Case(loss, params, draw.integers(11, BATCH, 7))


@case
def tied_language_model_with_one_hot_inputs(draw):
    def loss(p, tokens):
        h = jnp.tanh(jax.nn.one_hot(tokens[:-1], 11) @ p["table"] @ p["w"])
        return token_loss(jnp.einsum("td,vd->tv", h, p["table"]), tokens[1:])

    return Case(loss, {"table": draw(11, 5), "w": draw(5, 5)}, draw.integers(11, BATCH, 4))


@case
def tied_transformer(draw):
    def attention(p, h):
        q, k, v = (jnp.einsum("td,dhk->htk", h, p[name]) for name in "qkv")
        scores = jnp.where(jnp.tri(h.shape[0]) > 0, jnp.einsum("htk,hsk->hts", q, k), -1e9)
        return jnp.einsum("hts,hsk,hkd->td", jax.nn.softmax(scores), v, p["o"])

    def loss(p, tokens):
        h = p["table"][tokens[:-1]] + p["positions"]
        for block in p["blocks"]:
            h = h + attention(block, h * block["scale"])
            h = h + jax.nn.gelu(h @ block["up"] + block["bias"]) @ block["down"]
        return token_loss(h @ p["table"].T, tokens[1:])

    def block():
        heads = {name: draw(6, 2, 3) for name in "qkv"} | {"o": draw(2, 3, 6)}
        return heads | {"scale": 1 + draw(6), "up": draw(6, 8), "bias": draw(8), "down": draw(8, 6)}

    params = {"table": draw(9, 6), "positions": draw(4, 6), "blocks": [block(), block()]}
    return Case(loss, params, draw.integers(9, BATCH, 5))


@case
def siamese(draw):
    def loss(p, example):
        def encode(x):
            return jnp.tanh(jnp.tanh(x @ p["w1"] + p["b1"]) @ p["w2"])

        left, right = example
        return jnp.sum((encode(left) - encode(right)) ** 2)

    params = {"w1": draw(20, 20), "b1": draw(20), "w2": draw(20, 4)}
    return Case(loss, params, (draw(BATCH, 20), draw(BATCH, 20)))


@case
def siamese_with_different_lengths(draw):
    def loss(p, example):
        left, right = example
        return jnp.tanh(jnp.sum((left @ p).mean(0) * (right @ p).mean(0)))

    return Case(loss, draw(5, 6), (draw(BATCH, 3, 5), draw(BATCH, 7, 5)))


@case
def recurrent_unrolled(draw):
    def loss(p, xs):
        h = jnp.zeros(6)
        for x in xs:
            h = jnp.tanh(x @ p["w"] + h @ p["u"] + p["b"])
        return squared(h @ p["out"])

    params = {"w": draw(5, 6), "u": draw(6, 6), "b": draw(6), "out": draw(6, 2)}
    return Case(loss, params, draw(BATCH, 4, 5))


@case
def autoencoder_with_tied_weights(draw):
    def loss(p, x):
        h = jax.nn.sigmoid(x @ p["w"] + p["encoder"])
        return jnp.sum((h @ p["w"].T + p["decoder"] - x) ** 2)

    params = {"w": draw(6, 4), "encoder": draw(4), "decoder": draw(6)}
    return Case(loss, params, draw(BATCH, 6))


@case
def both_sides_of_one_product(draw):
    def loss(p, x):
        return squared((x @ p) @ (x @ p).T) + jnp.sum(x @ p @ p.T @ x.T)

    return Case(loss, draw(5, 6), draw(BATCH, 3, 5))


@case
def matrix_and_kernel(draw):
    """The same array in a product, a convolution, a lookup and a sum."""

    def loss(p, example):
        x, token = example
        h = jnp.tanh(x @ p)
        y = jax.lax.conv_general_dilated(
            h[None], p[None], (1,), "SAME", dimension_numbers=("NHC", "HIO", "NHC")
        )
        return squared(y + p[token]) + 0.1 * jnp.sum(p) * x[0, 0]

    return Case(loss, draw(5, 5), (draw(BATCH, 3, 5), draw.integers(5, BATCH)))


@case
def stopped_at_one_of_two_uses(draw):
    def loss(p, x):
        h = jnp.tanh(x @ p["w"] + p["b"])
        return squared(h @ jax.lax.stop_gradient(p["w"])) + squared(
            jax.lax.stop_gradient(h) @ p["w"]
        )

    return Case(loss, {"w": draw(5, 5), "b": draw(5)}, draw(BATCH, 2, 5))


@case
def contrastive_with_a_stopped_target(draw):
    def loss(p, x):
        def encode(p, x):
            return jnp.tanh(x @ p["w"])

        target = jax.lax.stop_gradient(encode(p, x[::-1]))
        return jnp.sum((encode(p, x) @ p["head"] - target) ** 2)

    return Case(loss, {"w": draw(5, 6), "head": draw(6, 6)}, draw(BATCH, 3, 5))


@case
def weight_used_many_times(draw):
    def loss(p, x):
        for _ in range(6):
            x = x + 0.3 * jnp.tanh(x @ p)
        return squared(x)

    return Case(loss, draw(6, 6), draw(BATCH, 6))
