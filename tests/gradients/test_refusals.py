"""Losses that have no per-example gradient are refused with a sentence that names the remedy."""

from functools import partial

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from jax.experimental import io_callback

from gujax import gradients

X = np.random.default_rng(0).normal(size=(4, 3))
W = np.ones((3, 2))
WAYS = [{"method": "factored"}, {"method": "dense"}, {"microbatch_size": 2}]


def refused(*words):
    return pytest.raises(ValueError, match=r"(?is)" + "".join(f"(?=.*{word})" for word in words))


def grads(loss, params, **way):
    return gradients.gram(gradients.per_example_grads(loss, **way)(params, X))


# BatchNorm: a loss, its parameters, and the same in inference mode.


class NnxModel(nnx.Module):
    def __init__(self, averaged):
        self.norm = nnx.BatchNorm(3, use_running_average=averaged, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return jnp.sum(self.norm(x) ** 2)


def nnx_batch_norm(training):
    definition, params, rest = nnx.split(NnxModel(averaged=not training), nnx.Param, ...)
    # With or without an axis of one example, the layer itself sees nothing wrong.
    return lambda p, x: nnx.merge(definition, p, rest, copy=True)(x[None]), params


def nnx_batch_norm_from_outside(training):
    model = NnxModel(averaged=not training)
    return lambda p, x: model(p * x), jnp.ones(3)


class LinenModel(linen.Module):
    training: bool

    @linen.compact
    def __call__(self, x):
        return jnp.sum(linen.BatchNorm(use_running_average=not self.training)(x) ** 2)


def linen_batch_norm(training):
    model = LinenModel(training)
    variables = model.init(jax.random.key(0), X[:1])
    params, stats = variables["params"], variables["batch_stats"]

    def loss(params, x):
        variables = {"params": params, "batch_stats": stats}
        if not training:
            return model.apply(variables, x)
        return model.apply(variables, x, mutable=["batch_stats"])[0]

    return loss, params


def haiku_batch_norm(training):
    @hk.without_apply_rng
    @hk.transform_with_state
    def network(x, training):
        return jnp.sum(hk.BatchNorm(True, True, 0.9)(x, training) ** 2)

    params, state = network.init(jax.random.key(0), X, True)  # averages of the whole batch
    return lambda p, x: network.apply(p, state, x[None], training)[0], params


def equinox_batch_norm(training):
    layer, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, "batch", mode="ema")
    layer = eqx.nn.inference_mode(layer, not training)
    params, static = eqx.partition(layer, eqx.is_inexact_array)
    return lambda p, x: jnp.sum(eqx.combine(p, static)(x, state)[0] ** 2), params


def collective(training):
    mean = partial(jax.lax.pmean, axis_name="batch") if training else jnp.tanh
    return lambda w, x: jnp.sum((mean(x) @ w) ** 2), W


BATCH_NORMS = [
    nnx_batch_norm,
    nnx_batch_norm_from_outside,
    linen_batch_norm,
    haiku_batch_norm,
    equinox_batch_norm,
    collective,
]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("build", BATCH_NORMS)
def test_batch_norm_in_training_mode(build, way):
    loss, params = build(training=True)
    with refused("batch", "GroupNorm", "running averages"):
        grads(loss, params, **way)


@pytest.mark.parametrize("build", BATCH_NORMS)
def test_batch_norm_in_inference_mode_is_served(build):
    loss, params = build(training=False)
    K = grads(loss, params)
    np.testing.assert_allclose(K, grads(loss, params, method="dense"), rtol=1e-6)
    assert np.all(np.diag(K) > 0)


def test_explain_refuses_too():
    loss, params = nnx_batch_norm(training=True)
    with refused("BatchNorm", "GroupNorm"):
        gradients.explain(loss, params, X[0])


def test_batch_norm_in_training_mode_outside_of_gujax_still_works():
    before = linen.BatchNorm.__call__
    loss, params = linen_batch_norm(training=True)
    with refused("BatchNorm"):
        grads(loss, params)
    assert linen.BatchNorm.__call__ is before
    assert np.isfinite(loss(params, X))
    assert np.isfinite(nnx_batch_norm(training=True)[0](nnx_batch_norm(training=True)[1], X[0]))


# Effects.


def printing(w, x):
    jax.debug.print("{}", x)
    return jnp.sum(x @ w)


def reporting(w, x):
    jax.debug.callback(lambda x: None, x)
    return jnp.sum(x @ w)


def calling(w, x, ordered=False):
    scale = io_callback(np.sum, jax.ShapeDtypeStruct((), x.dtype), x, ordered=ordered)
    return jnp.sum(x @ w) * scale


def calling_a_pure_function(w, x):
    scale = jax.pure_callback(
        np.sum, jax.ShapeDtypeStruct((), x.dtype), x, vmap_method="sequential"
    )
    return jnp.sum(x @ w) * scale


def calling_on_the_way(w, x):
    y = x @ w
    return jnp.sum(jax.pure_callback(np.sin, y, y, vmap_method="sequential"))


def calling_inside(w, x):
    """Inside of a jit, of a cond, of a scan."""

    def step(h, _):
        return jax.lax.cond(h[0, 0] > 0, lambda h: (printing(w, x), h)[1], lambda h: h, h), None

    return jax.jit(lambda w: jnp.sum(x @ jax.lax.scan(step, w, length=2)[0]))(w)


def writing(w, x):
    STATE[...] = jnp.sum(x).astype(jnp.float32)
    return jnp.sum(x @ w)


STATE = jax.new_ref(jnp.zeros(()))

EFFECTS = [
    printing,
    reporting,
    calling,
    partial(calling, ordered=True),
    calling_a_pure_function,
    calling_on_the_way,
    calling_inside,
    writing,
]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("loss", EFFECTS)
def test_side_effects_and_host_callbacks(loss, way):
    with refused("loss_fn", "side effect", "host", "aux"):
        grads(loss, W, **way)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_objects_that_the_loss_changes(way):
    dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    with refused("loss_fn changes", "RngCount", "copy=True", "aux"):
        grads(lambda w, x: jnp.sum(dropout(x) @ w), W, **way)


def test_other_errors_of_the_loss_are_left_alone():
    with pytest.raises(NameError, match="undefined_name"):
        grads(lambda w, x: undefined_name, W)  # noqa: F821
    with pytest.raises(ZeroDivisionError):
        grads(lambda w, x: 1 / 0, W)
