import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gujax.transforms import uniqueness_gate
from tests.transforms import reference as ref

# The solve in float32 at relative ridge 0.1 is good to about 1e-5; two decades of room.
RTOL = 1e-3


def step(gate, rows, **kwargs):
    state = gate.init(ref.PARAMS)
    return jax.jit(gate.update)(ref.unflatten(rows), state, ref.PARAMS, **kwargs)


@jax.jit  # the threshold is traced: one compilation for all
def threshold_step(threshold, grads):
    gate = uniqueness_gate(threshold, relative_ridge=0.1)
    return gate.update(grads, gate.init(ref.PARAMS))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), quantile=st.floats(0.3, 0.95))
def test_threshold_keeps_exactly_those_below(seed, quantile):
    rows = ref.random_rows(seed, 12)
    expected = ref.gnq(rows, ref.relative(rows, 0.1))
    below, above = np.sort(expected)[int(quantile * 11) :][:2]
    updates, state = threshold_step((below + above) / 2, ref.unflatten(rows))

    kept = expected <= (below + above) / 2
    np.testing.assert_allclose(state.uniqueness, expected, rtol=RTOL)
    np.testing.assert_array_equal(state.weights, kept)
    np.testing.assert_allclose(ref.flatten(updates), rows[kept].mean(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.75, 0.9, 1.0])
def test_quantile_is_over_unmasked_examples(quantile):
    rows = ref.random_rows(3, 20)
    mask = np.arange(20) % 4 != 1
    expected = ref.gnq(rows, ref.relative(rows, 0.1, mask), mask)
    kept = mask & (expected <= np.quantile(expected[mask], quantile, method="lower"))
    updates, state = step(uniqueness_gate(quantile=quantile, relative_ridge=0.1), rows, mask=mask)

    np.testing.assert_array_equal(state.weights, kept)
    np.testing.assert_allclose(ref.flatten(updates), rows[kept].mean(0), rtol=1e-4, atol=1e-6)
    assert kept.any()


def test_infinite_threshold_only_monitors():
    rows = ref.random_rows(0, 6)  # fewer examples than parameters: GNQ is infinite at ridge 0
    updates, state = step(uniqueness_gate(jnp.inf), rows)
    assert np.isinf(state.uniqueness).all()
    np.testing.assert_array_equal(state.weights, np.ones(6))
    np.testing.assert_allclose(ref.flatten(updates), rows.mean(0), rtol=1e-5)


def test_quantile_of_infinite_values_is_not_nan():
    rows = np.concatenate([np.eye(10, dtype=np.float32)[:2], np.ones((6, 10), np.float32)])
    _, state = step(uniqueness_gate(quantile=0.8), rows)
    np.testing.assert_array_equal(state.weights, [0, 0, 1, 1, 1, 1, 1, 1])


def test_dropping_every_example_gives_a_zero_update():
    rows = ref.random_rows(1, 8)
    updates, state = step(uniqueness_gate(0.0, ridge=1.0), rows)
    np.testing.assert_array_equal(state.weights, 0)
    np.testing.assert_array_equal(ref.flatten(updates), 0)


def test_ledger_charges_the_kept_among_themselves():
    rows = ref.random_rows(5, 16)
    ridge = ref.relative(rows, 0.2)
    gate = uniqueness_gate(quantile=0.7, relative_ridge=0.2, num_examples=40)
    ids = np.arange(16) * 2 + 1
    _, state = step(gate, rows, example_ids=ids)

    kept = np.asarray(state.weights) > 0
    expected = np.zeros(40)
    expected[ids] = ref.nats(ref.gnq(rows, ridge, kept))
    np.testing.assert_allclose(state.ledger.nats, expected, rtol=RTOL)
    mu_squared = np.zeros(40)
    mu_squared[ids] = ref.gnq(rows, ridge, kept) / 0.25
    np.testing.assert_allclose(state.ledger.mu_squared, mu_squared, rtol=RTOL)
    np.testing.assert_array_equal(np.flatnonzero(state.ledger.steps), ids[kept])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one"),
        ({"threshold": 1.0, "quantile": 0.5}, "exactly one"),
        ({"threshold": -1.0}, "threshold"),
        ({"quantile": 1.5}, "quantile"),
        ({"threshold": 1.0, "ridge": -1.0}, "ridge"),
        ({"threshold": 1.0, "ridge": 1.0, "relative_ridge": 0.1}, "one of the two"),
        ({"threshold": 1.0, "inclusion_probability": 1.0}, "inclusion_probability"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        uniqueness_gate(**arguments)
