"""Parameters that are cut, joined, turned or cast before they are used."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from tests.gradients.zoo.case import BATCH, Case, case, squared


def _viewed(name, shape, view):
    """x @ view(W), where the view has five rows, and W is used a second time as it is."""

    def build(draw):
        def loss(p, x):
            return squared(x @ view(p["w"])) + 0.1 * jnp.sum(p["w"]) * x[0, 0]

        return Case(loss, {"w": draw(*shape)}, draw(BATCH, 2, 5))

    build.__name__ = name
    case(build)


PERMUTATION = jnp.array([4, 2, 0, 1, 3])

for _name, _shape, _view in [
    ("transposed", (6, 5), lambda w: w.T),
    ("axes_permuted", (3, 5, 2), lambda w: jnp.transpose(w, (1, 2, 0)).reshape(5, 6)),
    ("reshaped", (3, 10), lambda w: w.reshape(5, 6)),
    ("raveled", (30,), lambda w: w.reshape(5, 6)),
    ("column_order", (6, 5), lambda w: w.reshape(5, 6, order="F")),
    ("sliced", (8, 9), lambda w: w[1:6, 2:8]),
    ("sliced_with_steps", (10, 9), lambda w: w[::2, 1:8:3]),
    ("sliced_from_the_end", (10, 6), lambda w: w[::-2]),
    ("row_of_a_stack", (3, 5, 6), lambda w: w[1]),
    ("last_of_a_stack", (3, 5, 6), lambda w: w[-1]),
    ("dynamic_slice_at_a_constant", (7, 6), lambda w: jax.lax.dynamic_slice(w, (1, 0), (5, 6))),
    ("row_permuted", (5, 6), lambda w: w[PERMUTATION]),
    ("column_permuted", (5, 5), lambda w: w[:, PERMUTATION]),
    ("flipped", (5, 6), lambda w: w[::-1, ::-1]),
    ("rolled", (5, 6), lambda w: jnp.roll(w, 2, axis=0)),
    ("padded", (3, 4), lambda w: jnp.pad(w, ((1, 1), (0, 2)))),
    ("padded_inside", (3, 6), lambda w: jax.lax.pad(w, 0.0, ((0, 0, 1), (0, 0, 0)))),
    ("padded_by_reflection", (3, 6), lambda w: jnp.pad(w, ((1, 1), (0, 0)), mode="reflect")),
    ("tiled", (5, 3), lambda w: jnp.tile(w, (1, 2))),
    ("repeated", (5, 3), lambda w: jnp.repeat(w, 2, axis=1)),
    ("broadcast", (6,), lambda w: jnp.broadcast_to(w, (5, 6))),
    ("squeezed", (1, 5, 1, 6), jnp.squeeze),
    ("expanded", (5,), lambda w: w[:, None]),
    ("diagonal_matrix", (5,), jnp.diag),
    ("lower_triangle", (5, 5), jnp.tril),
    ("symmetric", (5, 5), lambda w: w + w.T),
    ("antisymmetric", (5, 5), lambda w: w - w.T),
    ("scaled_by_a_constant", (5, 6), lambda w: 0.3 * w),
    ("divided_by_a_constant", (5, 6), lambda w: -w / 3),
    ("shifted_by_a_constant", (5, 6), lambda w: w + jnp.eye(5, 6)),
    ("centred", (5, 6), lambda w: w - w.mean(0)),
    ("summed_over_a_stack", (3, 5, 6), lambda w: w.sum(0)),
    ("cast_down", (5, 6), lambda w: w.astype(jnp.float32).astype(jnp.float64)),
    ("joined_with_itself", (5, 3), lambda w: jnp.concatenate([w, w], 1)),
    ("joined_with_a_constant", (3, 6), lambda w: jnp.concatenate([jnp.ones((2, 6)), w])),
    ("split_and_multiplied", (5, 12), lambda w: jnp.split(w, 2, 1)[0] * jnp.split(w, 2, 1)[1]),
    ("split_and_swapped", (5, 6), lambda w: jnp.concatenate(jnp.split(w, 2, 1)[::-1], 1)),
    ("written_into_a_constant", (3, 4),
     lambda w: jax.lax.dynamic_update_slice(jnp.ones((5, 6)), w, (1, 1))),
    ("partly_overwritten", (5, 6), lambda w: w.at[1:3].set(0.0)),
    ("copied", (5, 6), jnp.copy),
    ("behind_a_barrier", (5, 6), jax.lax.optimization_barrier),
]:  # fmt: skip
    _viewed(f"view_{_name}", _shape, _view)


@case
def joined_projections(draw):
    """Three matrices concatenated into one product; its result is split again."""

    def loss(p, x):
        q, k, v = jnp.split(x @ jnp.concatenate([p["q"], p["k"], p["v"]], 1), (4, 8), 1)
        return squared(jax.nn.softmax(q @ k.T) @ v)

    return Case(loss, {"q": draw(5, 4), "k": draw(5, 4), "v": draw(5, 3)}, draw(BATCH, 3, 5))


@case
def split_projection(draw):
    """One matrix split into three."""

    def loss(p, x):
        q, k, v = jnp.split(p, 3, 1)
        return squared(jax.nn.softmax((x @ q) @ (x @ k).T) @ (x @ v))

    return Case(loss, draw(5, 12), draw(BATCH, 3, 5))


@case
def stacked_parameters(draw):
    def loss(p, x):
        stack = jnp.stack([p["a"], p["b"], p["a"].T])
        return squared(jnp.einsum("td,ndk->ntk", x, stack))

    return Case(loss, {"a": draw(5, 5), "b": draw(5, 5)}, draw(BATCH, 3, 5))


@case
def sum_of_parameters(draw):
    def loss(p, x):
        return squared(x @ (p["a"] + 0.5 * p["b"])) + squared(x @ p["a"])

    return Case(loss, {"a": draw(5, 6), "b": draw(5, 6)}, draw(BATCH, 3, 5))


@case
def bias_as_a_row(draw):
    """The bias is the last row of the weights, met by a constant 1 in the input."""

    def loss(p, x):
        return squared(jnp.append(x, 1.0) @ p)

    return Case(loss, draw(6, 4), draw(BATCH, 5))


@case
def flat_parameter_vector(draw):
    """All parameters in one vector, as optimizers outside of JAX want them."""
    tree = {"w1": draw(5, 6), "b1": draw(6), "w2": draw(6, 2)}
    flat, unravel = ravel_pytree(jax.tree.map(jnp.asarray, tree))

    def loss(p, x):
        p = unravel(p)
        return squared(jnp.tanh(x @ p["w1"] + p["b1"]) @ p["w2"])

    return Case(loss, flat, draw(BATCH, 5))


@case
def hyper_network(draw):
    """Weights that are computed from the example and a parameter."""

    def loss(p, example):
        x, context = example
        weights = (context @ p["generator"]).reshape(5, 4)
        return squared(x @ weights @ p["out"])

    params = {"generator": draw(3, 20), "out": draw(4, 2)}
    return Case(loss, params, (draw(BATCH, 2, 5), draw(BATCH, 3)))


@case
def modulated_weights(draw):
    """A weight matrix scaled by the example before the product (StyleGAN 2)."""

    def loss(p, example):
        x, style = example
        weights = p["w"] * (style @ p["to_scale"])[:, None]
        weights = weights * jax.lax.rsqrt(jnp.sum(weights**2, 0) + 1e-8)
        return squared(x @ weights)

    params = {"w": draw(5, 6), "to_scale": draw(3, 5)}
    return Case(loss, params, (draw(BATCH, 2, 5), draw(BATCH, 3)))
