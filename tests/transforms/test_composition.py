"""The transformations inside optax chains."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gujax.gradients import value_and_per_example_grads
from gujax.transforms import dp_sgd, mean, uniqueness_clip, uniqueness_gate
from tests.transforms import reference as ref
from tests.transforms.test_aggregation import KEY, MAKE, B, N, every_transform, inputs

SIZES = ("batch_size", "num_examples")


@every_transform
def test_chain_with_adam_is_adam_on_the_released_update(name):
    rows, kwargs = inputs()
    transform, adam = MAKE[name](num_examples=N), optax.adam(1e-2)
    chain = optax.chain(transform, adam)
    updates, _ = chain.update(ref.unflatten(rows), chain.init(ref.PARAMS), ref.PARAMS, **kwargs)
    released, _ = transform.update(ref.unflatten(rows), transform.init(ref.PARAMS), **kwargs)
    expected, _ = adam.update(released, adam.init(ref.PARAMS), ref.PARAMS)
    np.testing.assert_array_equal(ref.flatten(updates), ref.flatten(expected))


SCHEDULED = {
    "gate threshold": (
        lambda x: optax.inject_hyperparams(uniqueness_gate)(threshold=x, relative_ridge=0.1),
        uniqueness_gate,
        "threshold",
    ),
    "gate quantile": (
        lambda x: optax.inject_hyperparams(uniqueness_gate)(quantile=x, relative_ridge=0.1),
        uniqueness_gate,
        "quantile",
    ),
    "clip cap": (
        lambda x: optax.inject_hyperparams(uniqueness_clip)(cap=x, relative_ridge=0.1),
        uniqueness_clip,
        "cap",
    ),
}


@pytest.mark.parametrize("case", SCHEDULED)
def test_scheduled_hyperparameters_take_effect(case):
    make_scheduled, make, argument = SCHEDULED[case]
    values = [0.9, 0.2]
    scheduled = make_scheduled(lambda count: jnp.where(count == 0, *values))
    update = jax.jit(scheduled.update)
    state = scheduled.init(ref.PARAMS)
    rows, _ = inputs()
    for value in values:
        updates, state = update(ref.unflatten(rows), state, ref.PARAMS)
        plain = make(**{argument: value}, relative_ridge=0.1)
        expected, _ = plain.update(ref.unflatten(rows), plain.init(ref.PARAMS))
        np.testing.assert_allclose(
            ref.flatten(updates), ref.flatten(expected), rtol=1e-3, atol=1e-5
        )


def test_scheduled_ridge_and_dp_sgd_clip():
    rows, kwargs = inputs()
    common = {"num_examples": N, "batch_size": B}
    schedule = optax.linear_schedule(1.0, 0.1, 10)
    ridge = optax.inject_hyperparams(mean, static_args=SIZES)(relative_ridge=schedule, **common)
    _, state = jax.jit(ridge.update)(
        ref.unflatten(rows), jax.jit(ridge.init)(ref.PARAMS), ref.PARAMS, **kwargs
    )
    expected = ref.gnq(rows, ref.relative(rows, 1.0, kwargs["mask"]), kwargs["mask"])
    np.testing.assert_allclose(state.inner_state.uniqueness, expected, rtol=1e-3)

    clip = optax.inject_hyperparams(dp_sgd, static_args=SIZES)(schedule, 0.0, B, KEY, **common)
    updates, state = jax.jit(clip.update)(
        ref.unflatten(rows), clip.init(ref.PARAMS), ref.PARAMS, **kwargs
    )
    plain = dp_sgd(1.0, 0.0, B, KEY, **common)
    expected, _ = plain.update(ref.unflatten(rows), plain.init(ref.PARAMS), **kwargs)
    np.testing.assert_allclose(ref.flatten(updates), ref.flatten(expected), rtol=1e-5, atol=1e-7)


def test_injected_sizes_work_unless_init_is_jitted():
    rows, kwargs = inputs()
    inject = optax.inject_hyperparams

    def make(wrap):
        return wrap(quantile=0.5, relative_ridge=0.1, batch_size=B, num_examples=N)

    injected = make(inject(uniqueness_gate))
    state = injected.init(ref.PARAMS)
    _, state = jax.jit(injected.update)(ref.unflatten(rows), state, ref.PARAMS, **kwargs)
    assert state.inner_state.ledger.nats.shape == (N,)
    with pytest.raises(ValueError, match="static_args"):
        jax.jit(injected.init)(ref.PARAMS)
    static = make(inject(uniqueness_gate, static_args=SIZES))
    assert jax.jit(static.init)(ref.PARAMS).inner_state.weights.shape == (B,)


def test_frozen_parameters_by_multi_transform_and_masked():
    rows, _ = inputs()
    gate = uniqueness_gate(quantile=0.8, relative_ridge=0.1)
    released, _ = gate.update(ref.unflatten(rows), gate.init(ref.PARAMS))
    labels = {"w": "train", "b": "freeze"}
    freeze = optax.multi_transform({"train": optax.sgd(1.0), "freeze": optax.set_to_zero()}, labels)
    chain = optax.chain(gate, freeze)
    updates, _ = chain.update(ref.unflatten(rows), chain.init(ref.PARAMS), ref.PARAMS)
    np.testing.assert_array_equal(updates["w"], -released["w"])
    np.testing.assert_array_equal(updates["b"], 0)

    masked = optax.chain(gate, optax.masked(optax.scale(-2.0), {"w": False, "b": True}))
    updates, _ = masked.update(ref.unflatten(rows), masked.init(ref.PARAMS), ref.PARAMS)
    np.testing.assert_array_equal(updates["w"], released["w"])
    np.testing.assert_array_equal(updates["b"], -2 * released["b"])


def test_accumulation_over_steps_by_multi_steps():
    gate = uniqueness_gate(quantile=0.8, relative_ridge=0.1)
    chain = optax.chain(gate, optax.MultiSteps(optax.sgd(1.0), 2).gradient_transformation())
    state, released = chain.init(ref.PARAMS), []
    for seed in range(2):
        rows, _ = inputs(seed)
        updates, state = chain.update(ref.unflatten(rows), state, ref.PARAMS)
        released.append(ref.flatten(gate.update(ref.unflatten(rows), gate.init(ref.PARAMS))[0]))
    np.testing.assert_allclose(ref.flatten(updates), -np.mean(released, 0), rtol=1e-5, atol=1e-7)


def test_apply_if_finite_skips_a_poisoned_step():
    rows, _ = inputs()
    gate = uniqueness_gate(quantile=0.8, relative_ridge=0.1)
    chain = optax.chain(gate, optax.apply_if_finite(optax.adam(1e-2), 10))
    update = jax.jit(chain.update)
    state = chain.init(ref.PARAMS)
    bad = rows.copy()
    bad[4, 9] = np.nan
    updates, state = update(ref.unflatten(bad), state, ref.PARAMS)
    np.testing.assert_array_equal(ref.flatten(updates), 0)
    updates, _ = update(ref.unflatten(rows), state, ref.PARAMS)
    fresh, _ = update(ref.unflatten(rows), chain.init(ref.PARAMS), ref.PARAMS)
    np.testing.assert_array_equal(ref.flatten(updates), ref.flatten(fresh))


def test_training_through_a_chain_lowers_the_loss():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(B, 4)).astype(np.float32), rng.normal(size=(B, 2)).astype(np.float32)

    def loss_fn(params, example):
        return jnp.sum((example[0] @ params["w"] + params["b"] - example[1]) ** 2)

    chain = optax.chain(uniqueness_clip(1.0, relative_ridge=0.1, batch_size=B), optax.adam(0.1))

    def body(carry, _):
        params, state = carry
        values, grads = value_and_per_example_grads(loss_fn)(params, (x, y))
        updates, state = chain.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), values.mean()

    params = jax.tree.map(jnp.asarray, ref.PARAMS)
    _, losses = jax.jit(lambda c: jax.lax.scan(body, c, None, 60))((params, chain.init(params)))
    assert losses[-1] < 0.7 * losses[0]
