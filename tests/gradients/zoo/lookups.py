"""Embeddings and every other way to index a parameter."""

import jax
import jax.numpy as jnp

from tests.gradients.zoo.case import BATCH, Case, case, squared


@case
def embedding_bag(draw):
    def loss(p, tokens):
        return squared(p["table"][tokens].sum(0) @ p["w"])

    params = {"table": draw(30, 5), "w": draw(5, 2)}
    return Case(loss, params, draw.integers(30, BATCH, 3))


@case
def embedding_of_one_token(draw):
    def loss(p, token):
        return squared(p[token])

    return Case(loss, draw(7, 5), draw.integers(7, BATCH))


@case
def repeated_tokens(draw):
    def loss(p, example):
        tokens, x = example
        return squared(p[tokens] * x)

    tokens = draw.integers(2, BATCH, 6)
    return Case(loss, draw(9, 5), (tokens, draw(BATCH, 6, 5)))


@case
def negative_tokens(draw):
    def loss(p, example):
        tokens, x = example
        return squared(p[tokens] * x)

    return Case(loss, draw(9, 5), (draw.integers(9, BATCH, 4, low=-9), draw(BATCH, 4, 5)))


def _take(mode):
    def build(draw):
        def loss(p, example):
            tokens, x = example
            return squared(jnp.take(p, tokens, axis=0, mode=mode, fill_value=0.5) * x)

        # Two thirds of the indices lie outside of the table, on both sides, some repeated.
        return Case(loss, draw(5, 6), (draw.integers(15, BATCH, 8, low=-15), draw(BATCH, 8, 6)))

    build.__name__ = f"take_mode_{mode}"
    return build


for _mode in ("clip", "wrap", "fill"):
    case(_take(_mode))


@case
def take_promised_in_bounds(draw):
    def loss(p, tokens):
        return squared(p.at[tokens].get(mode="promise_in_bounds"))

    return Case(loss, draw(5, 6), draw.integers(5, BATCH, 3))


@case
def indexing_drops_out_of_bounds(draw):
    def loss(p, tokens):
        return squared(p[tokens]) + squared(p.at[tokens].get(mode="fill", fill_value=2.0))

    return Case(loss, draw(5, 6), draw.integers(12, BATCH, 3, low=-12))


@case
def take_along_the_last_axis(draw):
    def loss(p, example):
        tokens, x = example
        return squared(x @ jnp.take(p, tokens, axis=1))

    return Case(loss, draw(4, 9), (draw.integers(9, BATCH, 3), draw(BATCH, 2, 4)))


@case
def take_along_axis(draw):
    def loss(p, order):
        return squared(jnp.take_along_axis(p, order, axis=1))

    return Case(loss, draw(3, 5), draw.integers(5, BATCH, 3, 4))


@case
def elements_by_two_indices(draw):
    def loss(p, example):
        i, j, x = example
        return squared(p[i, j] * x)

    batch = (draw.integers(4, BATCH, 6), draw.integers(5, BATCH, 6), draw(BATCH, 6))
    return Case(loss, draw(4, 5), batch)


@case
def mixed_indexing(draw):
    def loss(p, example):
        i, j = example
        return squared(p[i, :, j]) + squared(p[:, 1:, i])

    return Case(loss, draw(4, 3, 4), (draw.integers(4, BATCH, 2), draw.integers(4, BATCH, 2)))


@case
def one_hot_product(draw):
    def loss(p, tokens):
        return squared(jax.nn.one_hot(tokens, 9) @ p["table"] @ p["w"])

    return Case(loss, {"table": draw(9, 5), "w": draw(5, 2)}, draw.integers(9, BATCH, 4))


@case
def dynamic_slice_by_the_data(draw):
    def loss(p, example):
        start, x = example
        window = jax.lax.dynamic_slice(p, (start, start // 2), (3, 4))
        return squared(x @ window) + squared(jax.lax.dynamic_index_in_dim(p, start, 0))

    return Case(loss, draw(8, 6), (draw.integers(8, BATCH), draw(BATCH, 2, 3)))


@case
def layer_chosen_by_the_data(draw):
    def loss(p, example):
        which, x = example
        return squared(x @ p[which])

    return Case(loss, draw(3, 5, 6), (draw.integers(3, BATCH), draw(BATCH, 2, 5)))


@case
def static_indices(draw):
    def loss(p, x):
        return squared(x @ p[jnp.array([3, 0, 3, 1])]) + squared(p[2] * x[0])

    return Case(loss, draw(5, 4), draw(BATCH, 4, 4)[:, :, :4])


@case
def positional_embedding(draw):
    def loss(p, tokens):
        return squared(p["tokens"][tokens] * jnp.sqrt(5.0) + p["positions"][:4])

    return Case(loss, {"tokens": draw(9, 5), "positions": draw(6, 5)}, draw.integers(9, BATCH, 4))


@case
def parameter_written_into(draw):
    """Scatter with the parameter as operand, and with the parameter as update."""

    def loss(p, example):
        tokens, x = example
        changed = p["table"].at[tokens].add(x).at[0].set(1.0)
        sums = jnp.zeros((5, 4)).at[tokens].add(p["row"] * x)
        return squared(changed @ p["w"]) + squared(sums @ p["w"])

    params = {"table": draw(5, 4), "row": draw(4), "w": draw(4, 2)}
    return Case(loss, params, (draw.integers(5, BATCH, 3), draw(BATCH, 3, 4)))


@case
def segments_of_a_parameter(draw):
    def loss(p, segments):
        return squared(jax.ops.segment_sum(p, segments, num_segments=3))

    return Case(loss, draw(6, 4), draw.integers(3, BATCH, 6))


@case
def no_tokens(draw):
    def loss(p, example):
        tokens, x = example
        return squared(p["table"][tokens]) + squared(x @ p["w"])

    params = {"table": draw(5, 4), "w": draw(3, 4)}
    return Case(loss, params, (draw.integers(5, BATCH, 0), draw(BATCH, 3)))


@case
def logits_of_the_label(draw):
    """Only the label's column of the output weights is read."""

    def loss(p, example):
        x, y = example
        return jnp.tanh(x @ p[:, y])

    return Case(loss, draw(5, 6), (draw(BATCH, 5), draw.integers(6, BATCH)))
