"""The gates by norm and by chance, which stand beside the one by uniqueness."""

import jax
import numpy as np
import pytest

from gujax.transforms import chance_gate, norm_gate
from tests.transforms import reference as ref


def step(gate, rows, **kwargs):
    return jax.jit(gate.update)(ref.unflatten(rows), gate.init(ref.PARAMS), ref.PARAMS, **kwargs)


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.9, 1.0])
def test_the_longest_gradients_are_dropped(quantile):
    rows = ref.random_rows(3, 20)
    mask = np.arange(20) % 4 != 1
    norms = np.linalg.norm(rows, axis=1)
    kept = mask & (norms <= np.quantile(norms[mask], quantile, method="lower"))
    updates, state = step(norm_gate(quantile), rows, mask=mask)
    np.testing.assert_array_equal(state.weights, kept)
    np.testing.assert_allclose(ref.flatten(updates), rows[kept].mean(0), rtol=1e-4, atol=1e-6)
    assert state.uniqueness is None


def test_a_norm_that_is_not_finite_is_seen():
    rows = ref.random_rows(3, 6)
    rows[2, 0] = np.inf
    updates, _ = step(norm_gate(0.5), rows)
    assert np.isnan(ref.flatten(updates)).all()


def test_chance_keeps_as_many_of_every_kind():
    rows = ref.random_rows(0, 20)
    mask = np.arange(20) < 16
    gate = chance_gate(0.5, jax.random.key(0))
    state, often = gate.init(ref.PARAMS), np.zeros(20)
    update = jax.jit(gate.update)
    for _ in range(200):
        updates, state = update(ref.unflatten(rows), state, ref.PARAMS, mask=mask)
        kept = np.asarray(state.weights) > 0
        assert kept.sum() == 8  # of 16, as many as are at most their median
        np.testing.assert_allclose(ref.flatten(updates), rows[kept].mean(0), rtol=1e-4, atol=1e-6)
        often += kept
    # Four standard errors of 200 draws with probability 1/2.
    assert np.abs(often[mask] / 200 - 0.5).max() < 4 * 0.5 / np.sqrt(200)
    assert not often[~mask].any()


@pytest.mark.parametrize("gate", [norm_gate, lambda q, **k: chance_gate(q, jax.random.key(1), **k)])
def test_the_ledger_is_charged_with_what_is_released(gate):
    rows = ref.random_rows(5, 12)
    made = gate(0.5, ridge=0.7, num_examples=12)
    _, state = step(made, rows, example_ids=np.arange(12))
    kept = np.asarray(state.weights) > 0
    expected = np.zeros(12)
    expected[kept] = ref.gnq(rows[kept], 0.7)
    charged = np.asarray(state.ledger.mu_squared) / 4  # p = 1/2
    np.testing.assert_allclose(charged, expected, rtol=1e-3)
    np.testing.assert_allclose(state.uniqueness, ref.gnq(rows, 0.7), rtol=1e-3)


@pytest.mark.parametrize("gate", [norm_gate, lambda q: chance_gate(q, jax.random.key(0))])
def test_wrong_quantiles(gate):
    with pytest.raises(ValueError, match="quantile must lie between 0 and 1"):
        gate(1.5)
