"""Every form of dot_general: parameter left, right, both; batch axes; several contractions."""

import jax
import jax.numpy as jnp

from tests.gradients.zoo.case import BATCH, Case, case, squared


@case
def heads_on_the_right(draw):
    def loss(p, x):
        return squared(jnp.einsum("htd,hdk->htk", x, p))

    return Case(loss, draw(3, 5, 6), draw(BATCH, 3, 2, 5))


@case
def heads_on_the_left(draw):
    def loss(p, x):
        return squared(jnp.einsum("hkd,htd->hkt", p, x))

    return Case(loss, draw(3, 6, 5), draw(BATCH, 3, 2, 5))


@case
def two_batch_axes(draw):
    def loss(p, x):
        return squared(jax.lax.dot_general(x, p, (((3,), (2,)), ((0, 1), (1, 0)))))

    return Case(loss, draw(3, 2, 5, 4), draw(BATCH, 2, 3, 6, 5))


@case
def only_batch_axes(draw):
    """A product without contraction: element by element, then an outer part."""

    def loss(p, x):
        return squared(jax.lax.dot_general(p, x, (((), ()), ((0,), (0,)))))

    return Case(loss, draw(3, 4), draw(BATCH, 3, 5))


@case
def outer_product(draw):
    def loss(p, x):
        return squared(jnp.outer(p, x))

    return Case(loss, draw(6), draw(BATCH, 5))


@case
def full_contraction(draw):
    def loss(p, x):
        return jnp.tanh(jnp.vdot(p, x))

    return Case(loss, draw(4, 5), draw(BATCH, 4, 5))


@case
def several_contracted_axes(draw):
    def loss(p, x):
        return squared(jnp.tensordot(x, p, axes=((1, 2), (2, 0))))

    return Case(loss, draw(4, 6, 3), draw(BATCH, 2, 3, 4))


@case
def output_axes_interleaved(draw):
    def loss(p, x):
        return squared(jnp.einsum("abt,cbda->dtc", x, p))

    return Case(loss, draw(2, 4, 3, 5), draw(BATCH, 5, 4, 2))


@case
def einsum_with_a_diagonal(draw):
    def loss(p, x):
        return squared(jnp.einsum("ii,it->t", p, x)) + jnp.trace(p) ** 2

    return Case(loss, draw(4, 4), draw(BATCH, 4, 3))


@case
def einsum_with_three_operands(draw):
    def loss(p, x):
        return squared(jnp.einsum("ti,ij,jk->tk", x, p["a"], p["b"]))

    return Case(loss, {"a": draw(4, 5), "b": draw(5, 6)}, draw(BATCH, 3, 4))


@case
def bilinear_form(draw):
    def loss(p, example):
        x, y = example
        return jnp.tanh(x @ p @ y)

    return Case(loss, draw(5, 6), (draw(BATCH, 5), draw(BATCH, 6)))


@case
def bilinear_layer(draw):
    def loss(p, example):
        x, y = example
        return squared(jnp.einsum("i,oij,j->o", x, p, y))

    return Case(loss, draw(3, 5, 6), (draw(BATCH, 5), draw(BATCH, 6)))


@case
def product_of_parameters(draw):
    def loss(p, x):
        return squared(x @ (p["a"] @ p["b"] @ p["c"]))

    return Case(loss, {"a": draw(5, 2), "b": draw(2, 3), "c": draw(3, 6)}, draw(BATCH, 5))


@case
def outer_product_of_parameters(draw):
    def loss(p, x):
        return squared(x @ jnp.outer(p["u"], p["v"])) + jnp.dot(p["u"], p["u"])

    return Case(loss, {"u": draw(5), "v": draw(6)}, draw(BATCH, 5))


@case
def parameter_times_itself(draw):
    def loss(p, x):
        return squared(x @ (p.T @ p)) + squared(x @ (p @ p))

    return Case(loss, draw(5, 5), draw(BATCH, 5))


@case
def kronecker_product(draw):
    def loss(p, x):
        return squared(x @ jnp.kron(p["a"], p["b"]))

    return Case(loss, {"a": draw(2, 3), "b": draw(3, 2)}, draw(BATCH, 6))


@case
def parameter_axis_of_length_one(draw):
    def loss(p, x):
        return squared(x @ p["column"]) + squared(x @ p["row"])

    return Case(loss, {"column": draw(5, 1), "row": draw(5, 1).T.T[:, :1]}, draw(BATCH, 3, 5))


@case
def constant_times_parameter(draw):
    """One side of the product does not depend on the example."""

    def loss(p, x, mixing):
        return squared((mixing @ p) * x)

    return Case(loss, draw(5, 4), draw(BATCH, 3, 4), (draw(3, 5),))
