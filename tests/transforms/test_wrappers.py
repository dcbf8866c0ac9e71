"""The transformations inside of optax's wrappers: right, or refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gujax
from gujax import transforms

RNG = np.random.default_rng(0)
PARAMS = {
    "w": (RNG.normal(size=(12, 30)) / 4).astype(np.float32),
    "v": (RNG.normal(size=(30, 3)) / 5).astype(np.float32),
    "b": np.ones(3, np.float32),
}
X = RNG.normal(size=(8, 12)).astype(np.float32)
FROZEN = {"w": True, "v": False, "b": False}
LABELS = {"w": "frozen", "v": "trained", "b": "trained"}
METHODS = ["factored", "dense"]


def loss(params, x):
    return jnp.sum((jnp.tanh(x @ params["w"]) @ params["v"] + params["b"]) ** 2)


def grads(method="factored"):
    return gujax.per_example_grads(loss, method=method)(PARAMS, X)


def gate():
    return transforms.uniqueness_gate(quantile=0.8, relative_ridge=0.1)


def sometimes(step):
    return step % 2 == 0


# Around a transformation of per-example gradients these are wrong, whatever they hand on.
BREAKING = {
    "partition": lambda t: optax.partition({"trained": t, "frozen": optax.set_to_zero()}, LABELS),
    "masked": lambda t: optax.masked(t, {"w": False, "v": True, "b": True}),
    "MultiSteps": lambda t: optax.MultiSteps(t, 2).gradient_transformation(),
    "apply_if_finite": lambda t: optax.apply_if_finite(t, 3),
    "conditionally_transform": lambda t: optax.conditionally_transform(t, sometimes),
    "conditionally_mask": lambda t: optax.conditionally_mask(t, sometimes),
}
# These hand everything on as it is.
FITTING = {
    "chain": lambda t: optax.chain(t, optax.identity()),
    "named_chain": lambda t: optax.named_chain(("rule", t)),
    "with_extra_args_support": optax.with_extra_args_support,
    "masked nowhere": lambda t: optax.masked(t, dict.fromkeys(PARAMS, True)),
    "freeze nothing": lambda t: transforms.freeze(t, dict.fromkeys(PARAMS, False)),
}


def update(transformation, method):
    state = transformation.init(PARAMS)
    return jax.jit(transformation.update)(grads(method), state, PARAMS)[0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", BREAKING)
def test_a_wrapper_that_breaks_the_rule_is_named(name, method):
    with pytest.raises(ValueError, match=r"(?s)per-example gradients.*" + name.split("_")[0]):
        update(BREAKING[name](gate()), method)


@settings(max_examples=25, deadline=None)
@given(
    wrappers=st.lists(st.sampled_from(sorted({**BREAKING, **FITTING})), max_size=3),
    method=st.sampled_from(METHODS),
    rule=st.sampled_from(["gate", "clip", "mean", "dp_sgd"]),
)
def test_any_nest_of_wrappers_is_right_or_refused(wrappers, method, rule):
    make = {
        "gate": gate,
        "clip": lambda: transforms.uniqueness_clip(0.5, relative_ridge=0.1),
        "mean": transforms.mean,
        "dp_sgd": lambda: transforms.dp_sgd(1.0, 0.5, 8, jax.random.key(0)),
    }[rule]
    wrapped = make()
    for name in wrappers:
        wrapped = {**BREAKING, **FITTING}[name](wrapped)
    if set(wrappers) & set(BREAKING):
        with pytest.raises(ValueError, match="per-example gradients"):
            update(wrapped, method)
        return
    found, expected = update(wrapped, method), update(make(), "dense")
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_that_another_transformation_has_reduced(method):
    """An ordinary gradient has the shape of its parameter."""
    mean = jax.tree.map(lambda x: jnp.mean(x, 0), grads("dense"))
    with pytest.raises(ValueError, match="per-example gradients"):
        gate().update(mean, gate().init(PARAMS), PARAMS)


# Freezing.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "frozen",
    [FROZEN, lambda params: jax.tree.map(lambda x: len(x) == 12, params)],
    ids=["a tree", "a function"],
)
def test_a_frozen_parameter_counts_nowhere(method, frozen):
    """Truth: the loss as a function of what is trained alone."""
    trained = {name: PARAMS[name] for name in ("v", "b")}
    alone = gujax.per_example_grads(
        lambda params, x, w: loss({**params, "w": w}, x), method="dense"
    )(trained, X, PARAMS["w"])
    expected, expected_state = gate().update(alone, gate().init(trained), trained)

    transformation = transforms.freeze(gate(), frozen)
    found, state = jax.jit(transformation.update)(
        grads(method), transformation.init(PARAMS), PARAMS
    )
    np.testing.assert_allclose(state.uniqueness_slots[:8], expected_state.uniqueness, rtol=2e-4)
    for name in trained:
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-4, atol=1e-6)
    np.testing.assert_array_equal(found["w"], np.zeros_like(PARAMS["w"]))

    _, counted = gate().update(grads(method), gate().init(PARAMS), PARAMS)
    assert not np.allclose(counted.uniqueness, expected_state.uniqueness, rtol=0.05)


def test_freeze_in_a_chain_trains_the_others():
    chain = optax.chain(transforms.freeze(gate(), FROZEN), optax.adam(1e-2))
    updates, _ = jax.jit(chain.update)(grads(), chain.init(PARAMS), PARAMS)
    assert not np.any(updates["w"])
    assert np.all(updates["v"])


@pytest.mark.parametrize(
    ("frozen", "params", "given", "message"),
    [
        (dict.fromkeys(PARAMS, True), PARAMS, {}, "every parameter"),
        (FROZEN, None, {}, "params are missing"),
        (FROZEN, PARAMS, {"microbatch_size": 3}, "differentiate only what"),
    ],
)
def test_what_freeze_cannot_do(frozen, params, given, message):
    transformation = transforms.freeze(gate(), frozen)
    some = gujax.per_example_grads(loss, **given)(PARAMS, X)
    with pytest.raises(ValueError, match=message):
        transformation.update(some, transformation.init(PARAMS), params)
