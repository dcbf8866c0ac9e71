"""custom_vjp and custom_jvp whose derivative is not the true one: theirs must be honoured."""

from functools import partial

import jax
import jax.numpy as jnp

from tests.gradients.zoo.case import BATCH, Case, case, squared


@jax.custom_vjp
def straight_through_sign(w):
    return jnp.sign(w)


straight_through_sign.defvjp(
    lambda w: (jnp.sign(w), w), lambda w, g: (jnp.where(jnp.abs(w) < 0.6, g, 0.0),)
)


@case
def straight_through_weights(draw):
    def loss(p, x):
        return squared(x @ straight_through_sign(p["w"]) @ p["v"])

    return Case(loss, {"w": draw(5, 6), "v": draw(6, 2)}, draw(BATCH, 2, 5))


@case
def straight_through_activations(draw):
    def loss(p, x):
        return squared(straight_through_sign(x @ p["w"] + p["b"]) @ p["v"])

    return Case(loss, {"w": draw(5, 6), "b": draw(6), "v": draw(6, 2)}, draw(BATCH, 2, 5))


@jax.custom_vjp
def scaled_gradient(x):
    return x


scaled_gradient.defvjp(lambda x: (x, None), lambda _, g: (-0.3 * g,))


@case
def gradient_reversal_of_weights(draw):
    def loss(p, x):
        return squared(x @ scaled_gradient(p["w"])) + squared(x @ p["w"])

    return Case(loss, {"w": draw(5, 6)}, draw(BATCH, 5))


@case
def gradient_reversal_of_all_parameters(draw):
    def loss(p, x):
        p = jax.tree.map(scaled_gradient, p)
        return squared(jnp.tanh(x @ p["w"] + p["b"]) @ p["v"])

    return Case(loss, {"w": draw(5, 6), "b": draw(6), "v": draw(6, 2)}, draw(BATCH, 5))


@jax.custom_vjp
def linear_with_wrong_gradient(w, x):
    return x @ w


linear_with_wrong_gradient.defvjp(
    lambda w, x: (x @ w, (w, x)),
    lambda saved, g: (2.0 * jnp.sin(saved[1]).T @ g, g @ saved[0].T * 0.5),
)


@case
def layer_with_wrong_gradient(draw):
    def loss(p, x):
        return squared(linear_with_wrong_gradient(p["v"], linear_with_wrong_gradient(p["w"], x)))

    return Case(loss, {"w": draw(5, 6), "v": draw(6, 2)}, draw(BATCH, 3, 5))


@case
def layer_with_wrong_gradient_in_a_scan(draw):
    def loss(p, x):
        def layer(h, w):
            return jnp.tanh(linear_with_wrong_gradient(w, h)), None

        return squared(jax.lax.scan(layer, x, p)[0])

    return Case(loss, draw(3, 5, 5), draw(BATCH, 3, 5))


@case
def layer_with_wrong_gradient_remat(draw):
    def loss(p, x):
        return squared(jax.checkpoint(linear_with_wrong_gradient)(p, x))

    return Case(loss, draw(5, 6), draw(BATCH, 3, 5))


@partial(jax.custom_vjp, nondiff_argnums=(0, 2))
def block(activation, p, power):
    return activation(p["w"]) ** power + p["b"]


def _block_forward(activation, p, power):
    return block(activation, p, power), p


def _block_backward(activation, power, p, g):
    return ({"w": g * power + activation(p["w"]), "b": jnp.zeros_like(p["b"])},)


block.defvjp(_block_forward, _block_backward)


@case
def custom_vjp_over_a_pytree(draw):
    """Static arguments, a pytree of parameters, and a gradient that adds something of its own."""

    def loss(p, x):
        return squared(x @ block(jnp.sin, p, 2)) + squared(x @ p["w"])

    return Case(loss, {"w": draw(5, 6), "b": draw(6)}, draw(BATCH, 5))


@jax.custom_vjp
def lookup(table, tokens):
    return table[tokens]


lookup.defvjp(
    lambda table, tokens: (table[tokens], (tokens, table)),
    lambda saved, g: (jnp.zeros_like(saved[1]).at[saved[0]].max(g), None),
)


@case
def custom_vjp_with_integer_arguments(draw):
    def loss(p, tokens):
        return squared(lookup(p["table"], tokens) @ p["w"])

    return Case(loss, {"table": draw(7, 5), "w": draw(5, 2)}, draw.integers(7, BATCH, 4))


@jax.custom_vjp
def gradient_that_ignores_the_parameter(w, x):
    return x @ w


gradient_that_ignores_the_parameter.defvjp(
    lambda w, x: (x @ w, (w, x)), lambda saved, g: (jnp.zeros_like(saved[0]), g @ saved[0].T)
)


@case
def custom_vjp_that_freezes(draw):
    def loss(p, x):
        return squared(gradient_that_ignores_the_parameter(p["v"], jnp.tanh(x @ p["w"])))

    return Case(loss, {"w": draw(5, 6), "v": draw(6, 2)}, draw(BATCH, 3, 5))


@jax.custom_vjp
def clipped_backward(x):
    return x


clipped_backward.defvjp(lambda x: (x, None), lambda _, g: (jnp.clip(g, -0.05, 0.05),))


@case
def parameter_gradient_clipped_inside(draw):
    """A nonlinear function of the whole cotangent of a parameter: no factor describes it."""

    def loss(p, x):
        return squared(x @ clipped_backward(p))

    return Case(loss, draw(5, 6), draw(BATCH, 3, 5))


@jax.custom_vjp
def normalised_backward(w):
    return w


normalised_backward.defvjp(
    lambda w: (w, None), lambda _, g: (g / (1e-3 + jnp.sqrt(jnp.sum(g**2))),)
)


@case
def parameter_gradient_normalised_inside(draw):
    def loss(p, x):
        p = normalised_backward(p)
        return squared(jnp.tanh(x @ p) @ p.T)

    return Case(loss, draw(5, 6), draw(BATCH, 3, 5))


@jax.custom_jvp
def clip(w):
    return jnp.clip(w, -0.5, 0.5)


clip.defjvps(lambda t, out, w: 0.7 * t)


@case
def custom_jvp_of_weights(draw):
    def loss(p, x):
        return squared(clip(x @ clip(p["w"]) + p["b"]))

    return Case(loss, {"w": draw(5, 6), "b": draw(6)}, draw(BATCH, 3, 5))


@jax.custom_jvp
def product(w, x):
    return x @ w


@product.defjvp
def _product_jvp(primals, tangents):
    (w, x), (dw, dx) = primals, tangents
    return product(w, x), 3.0 * (x @ dw) + 0.5 * jnp.sum(dw) + dx @ w


@case
def custom_jvp_of_a_layer(draw):
    def loss(p, x):
        return squared(product(p["v"], jnp.tanh(product(p["w"], x))))

    return Case(loss, {"w": draw(5, 6), "v": draw(6, 2)}, draw(BATCH, 3, 5))


@case
def custom_jvp_in_cond_in_scan(draw):
    def loss(p, x):
        def layer(h, w):
            return jax.lax.cond(h[0, 0] > 0, lambda h: clip(product(w, h)), lambda h: -h, h), None

        return squared(jax.lax.scan(jax.checkpoint(layer), x, p)[0])

    return Case(loss, draw(3, 5, 5), draw(BATCH, 2, 5))


@case
def implicit_differentiation(draw):
    """A fixed point whose gradient comes from custom_root."""

    def loss(p, x):
        def residual(h):
            return h - 0.3 * jnp.tanh(h @ p["w"] + x)

        def solve(f, h):
            for _ in range(40):
                h = h - f(h)
            return h

        def tangent_solve(g, y):
            return jnp.linalg.solve(jax.jacobian(g)(y), y)

        root = jax.lax.custom_root(residual, jnp.zeros(4), solve, tangent_solve)
        return squared(root @ p["out"])

    return Case(loss, {"w": draw(4, 4), "out": draw(4, 2)}, draw(BATCH, 4))
