"""Parameters, batches and shared arguments in every container."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from tests.gradients.zoo.case import BATCH, Case, case, squared


class Layer(NamedTuple):
    kernel: Any
    bias: Any = None


@case
def parameters_in_named_tuples(draw):
    def loss(p, x):
        for layer in p:
            x = jnp.tanh(x @ layer.kernel + (0.0 if layer.bias is None else layer.bias))
        return squared(x)

    return Case(loss, (Layer(draw(5, 6), draw(6)), Layer(draw(6, 3))), draw(BATCH, 5))


@case
def parameters_with_none_and_empty_containers(draw):
    def loss(p, x):
        assert p["bias"] is None
        assert p["empty"] == {}
        return squared(x @ p["layers"][0]["w"])

    params = {"layers": [{"w": draw(5, 3)}], "bias": None, "empty": {}, "nothing": ()}
    return Case(loss, params, draw(BATCH, 5))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Model:
    w: Any
    scale: Any
    power: int = field(metadata={"static": True})


@case
def parameters_in_a_dataclass(draw):
    """With a field that is no parameter."""

    def loss(p, x):
        return squared(x @ p.w * p.scale) ** p.power

    return Case(loss, Model(draw(5, 3), draw(), 2), draw(BATCH, 5))


@case
def parameters_as_a_bare_array(draw):
    return Case(lambda p, x: squared(x @ p), draw(5, 3), draw(BATCH, 5))


@case
def one_array_in_two_places(draw):
    """The same array object twice in the pytree is two parameters."""

    def loss(p, x):
        return squared(jnp.tanh(x @ p["a"]) @ p["b"])

    w = jnp.asarray(draw(5, 5))
    return Case(loss, {"a": w, "b": w}, draw(BATCH, 5))


@case
def many_kinds_of_leaves_in_the_batch(draw):
    def loss(p, example):
        assert example["nothing"] is None
        h = jnp.where(example["mask"], example["x"], 0.0) @ p["w"] + p["table"][example["id"]]
        h = h * example["weight"] + example["byte"].astype(h.dtype) / 255
        return squared(h) * example["flag"]

    batch = {
        "x": draw(BATCH, 5),
        "mask": draw(BATCH, 5) > 0,
        "id": draw.integers(7, BATCH),
        "weight": draw(BATCH, 1),
        "byte": draw.integers(255, BATCH, 4).astype("uint8"),
        "flag": draw(BATCH) > -10,
        "nothing": None,
        "empty": (),
    }
    return Case(loss, {"w": draw(5, 4), "table": draw(7, 4)}, batch)


@case
def batch_of_one(draw):
    def loss(p, example):
        x, y = example
        return (jnp.tanh(x @ p["w"]) @ p["v"] - y) ** 2

    return Case(loss, {"w": draw(5, 6), "v": draw(6)}, (draw(1, 5), draw(1)))


@case
def batch_as_wide_as_a_parameter(draw):
    """The batch axis has the length of a feature axis: they must not be confused."""

    def loss(p, x):
        return squared(jnp.tanh(x @ p["w"]) @ p["v"] + p["b"])

    params = {"w": draw(BATCH, BATCH), "v": draw(BATCH, BATCH), "b": draw(BATCH)}
    return Case(loss, params, draw(BATCH, BATCH, BATCH))


@case
def weighted_examples(draw):
    """An example of weight zero has a gradient of zero."""

    def loss(p, example):
        x, weight = example
        return weight * squared(x @ p["w"] + p["b"])

    weights = jnp.arange(BATCH) > 0
    return Case(loss, {"w": draw(5, 4), "b": draw(4)}, (draw(BATCH, 5), weights))


@case
def identical_examples(draw):
    def loss(p, x):
        return squared(jnp.tanh(x @ p["w"]) @ p["v"])

    return Case(loss, {"w": draw(5, 4), "v": draw(4, 3)}, jnp.tile(draw(1, 5), (BATCH, 1)))


@case
def shared_arguments(draw):
    """A pytree, a scalar, an integer array, a key and None, all shared by the examples."""

    def loss(p, x, frozen, temperature, positions, key, nothing):
        assert nothing is None
        h = (x @ p["w"] + frozen["bias"])[positions] / temperature
        return squared(h + 0.1 * jax.random.normal(key, h.shape))

    shared = ({"bias": draw(4)}, 2.0, jnp.array([2, 0]), jax.random.key(0), None)
    return Case(loss, {"w": draw(5, 4)}, draw(BATCH, 3, 5), shared)


@case
def constants_in_the_closure(draw):
    frozen, table = jnp.asarray(draw(5, 5)), jnp.asarray(draw(7, 5))

    def loss(p, token):
        return squared(jnp.tanh(table[token] @ frozen) @ p)

    return Case(loss, draw(5, 3), draw.integers(7, BATCH))
