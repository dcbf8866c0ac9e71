"""What docs/sharp-edges.md says, run."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gujax
from gujax.attacks.membership import evaluate_attack
from gujax.leakage import v_information
from gujax.models import lenet, resnet, vgg
from gujax.transforms import mean, uniqueness_gate


def loss_fn(params, example, frozen=None):
    x, y = example
    params = params if frozen is None else {**params, **frozen}
    logits = jnp.tanh(x @ params["in"]) @ params["out"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y)


@pytest.fixture
def params():
    first, second = jax.random.split(jax.random.key(0))
    return {"in": jax.random.normal(first, (6, 8)), "out": jax.random.normal(second, (8, 3))}


@pytest.fixture
def batch():
    return jax.random.normal(jax.random.key(1), (12, 6)), jnp.arange(12) % 3


def kernel(params, batch, scale=1.0, **options):
    def scaled(params, example):
        return scale * loss_fn(params, example)

    return gujax.gram(gujax.per_example_grads(scaled, **options)(params, batch))


def test_a_relative_ridge_follows_the_batch(params, batch):
    K = kernel(params, batch)
    gnq = gujax.uniqueness(K, relative_ridge=0.1)
    larger = kernel(params, batch, 10.0)
    np.testing.assert_allclose(gujax.uniqueness(larger, relative_ridge=0.1), gnq, rtol=1e-3)
    assert (gujax.uniqueness(larger, 0.05) > 10 * gujax.uniqueness(K, 0.05)).all()

    # One large gradient makes the others look less unique; small ones all round change nothing.
    outlier = jnp.ones(12).at[0].set(10.0)
    among = gujax.uniqueness(K * jnp.outer(outlier, outlier), relative_ridge=0.1)
    assert (among[1:] < gnq[1:]).all()
    vanished = kernel(params, batch, 1e-3)
    np.testing.assert_allclose(gujax.uniqueness(vanished, relative_ridge=0.1), gnq, rtol=1e-3)
    assert gujax.uniqueness(vanished, gujax.relative_ridge(K, 0.1)).max() < 1e-3


def test_frozen_parameters_count_unless_they_are_not_differentiated_by(params, batch):
    gate = uniqueness_gate(quantile=0.9, ridge=1.0)
    frozen = {"in": True, "out": False}
    chain = optax.chain(gate, optax.masked(optax.set_to_zero(), frozen))
    grads = gujax.per_example_grads(loss_fn)(params, batch)
    updates, (chained, _) = chain.update(grads, chain.init(params), params)
    _, every = gate.update(grads, gate.init(params), params)
    assert not updates["in"].any()
    np.testing.assert_array_equal(chained.uniqueness, every.uniqueness)

    trained, rest = {"out": params["out"]}, {"in": params["in"]}
    grads = gujax.per_example_grads(loss_fn)(trained, batch, rest)
    _, state = gate.update(grads, gate.init(trained), trained)
    assert (state.uniqueness < chained.uniqueness).all()

    def stopped(params, example):
        return loss_fn({**params, "in": jax.lax.stop_gradient(params["in"])}, example)

    K = gujax.gram(gujax.per_example_grads(stopped)(params, batch))
    np.testing.assert_allclose(gujax.uniqueness(K, 1.0), state.uniqueness, rtol=1e-3)


@pytest.mark.parametrize("model", [lenet, resnet])
def test_channels_first_is_another_network_and_no_error(model):
    def size(shape):
        parameters = jax.eval_shape(model(shape, 10).init, jax.random.key(0))
        return sum(leaf.size for leaf in jax.tree.leaves(parameters))

    assert size((3, 32, 32)) != size((32, 32, 3))


def test_vgg_refuses_three_pixels():
    with pytest.raises(ValueError, match="halvings"):
        vgg((3, 32, 32), 10)


def test_one_hot_floats_are_continuous():
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, 300)
    one_hot = np.eye(3)[classes]
    leak = {"it": 4 * one_hot + rng.normal(size=one_hot.shape)}
    entropy = np.log(3)
    assert v_information(leak, classes)["it"].information.mean < entropy
    assert v_information(leak, one_hot)["it"].information.mean > entropy
    with pytest.raises(ValueError, match="classes must be"):
        v_information(leak, one_hot.astype(int))


def test_masks_are_cast_to_boolean(params, batch):
    grads = gujax.per_example_grads(loss_fn)(params, batch)
    K, keep = gujax.gram(grads), jnp.arange(12) < 8
    rule = mean()
    states = []
    for mask in (keep, keep.astype(float), 0.001 * keep):
        _, state = rule.update(grads, rule.init(params), params, mask=mask)
        states.append((gujax.uniqueness(K, relative_ridge=0.1, mask=mask), state.weights))
    for gnq, weights in states[1:]:
        np.testing.assert_array_equal(gnq, states[0][0])
        np.testing.assert_array_equal(weights, keep)
    with pytest.raises(ValueError, match="must be true or false"):
        evaluate_attack(np.zeros((1, 4)), np.array([[0.9, 0.8, 0.1, 0.2]]))


def test_members_among_the_held_out_hide_the_attack():
    rng = np.random.default_rng(0)
    members, held_out = rng.normal(2, 1, 200), rng.normal(0, 1, 200)

    def auc(others):
        scores = np.concatenate([members, others])[None]
        truth = np.arange(scores.size)[None] < len(members)
        return evaluate_attack(scores, truth, num_resamples=0).auc.mean

    mixed = np.concatenate([held_out[:100], members[:100]])
    assert auc(held_out) > auc(mixed) + 0.1
    assert auc(members) == pytest.approx(0.5)


def test_eight_bits_are_for_the_dense_method(params, batch):
    def inner(params, example):
        x, y = example
        small = jnp.float8_e4m3fn
        hidden = (x.astype(small) @ params["in"].astype(small)).astype(jnp.float32)
        return loss_fn({"in": jnp.eye(8), "out": params["out"]}, (hidden, y))

    per_example = gujax.per_example_grads(inner, method="dense")
    assert gujax.uniqueness(gujax.gram(per_example(params, batch)), 1.0).all()
    with pytest.raises(Exception, match="8-bit floats do not support implicit promotion"):
        gujax.gram(gujax.per_example_grads(inner)(params, batch))
    halves = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    assert kernel(halves, batch).dtype == jnp.float32
