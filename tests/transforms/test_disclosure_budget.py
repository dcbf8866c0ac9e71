from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gujax.transforms import disclosure_budget
from tests.transforms import reference as ref

N = 30


def largest_affordable_set(rows, ridge, mask, spent, budget):
    """Leave out, in float64, whoever cannot afford the step, until everyone can."""
    active = mask.copy()
    while True:
        over = active & (spent + ref.nats(ref.gnq(rows, ridge, active)) > budget)
        if not over.any():
            return active
        active &= ~over


@partial(jax.jit, static_argnums=1)  # the budget is traced: one compilation for all
def update(budget, ridge, grads, state, ids, mask):
    defense = disclosure_budget(budget, N, relative_ridge=ridge, batch_size=12)
    return defense.update(grads, state, example_ids=ids, mask=mask)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), budget=st.floats(0.05, 3.0), ridge=st.sampled_from([0.3, 2.0]))
def test_budget_is_never_exceeded_and_the_ledger_is_the_sum(seed, budget, ridge):
    rng = np.random.default_rng(seed)
    state = disclosure_budget(budget, N, relative_ridge=ridge, batch_size=12).init(ref.PARAMS)
    spent = np.zeros(N)
    for step in range(6):
        rows = ref.random_rows(seed + step, 12)
        ids, mask = rng.permutation(N)[:12], rng.random(12) < 0.9
        updates, state = update(budget, ridge, ref.unflatten(rows), state, ids, mask)

        active = np.asarray(state.weights) > 0
        scale = ref.relative(rows, ridge, mask) if mask.any() else 1.0
        charged = np.where(active, ref.nats(ref.gnq(rows, scale, active)), 0)
        # Between float32 and float64, an example within 1e-4 of its budget may fall either way.
        generous = largest_affordable_set(rows, scale, mask, spent[ids], budget * (1 + 1e-4))
        strict = largest_affordable_set(rows, scale, mask, spent[ids], budget * (1 - 1e-4))
        assert (strict <= active).all()
        assert (active <= generous).all()
        spent[ids] += charged
        np.testing.assert_allclose(state.ledger.nats, spent, rtol=1e-3, atol=1e-6)
        expected = rows[active].mean(0) if active.any() else np.zeros(10)
        np.testing.assert_allclose(ref.flatten(updates), expected, rtol=1e-4, atol=1e-5)
        assert np.asarray(state.ledger.nats).max() <= np.float32(budget)


def test_exhausted_examples_stop_contributing_and_stop_spending():
    rows = ref.random_rows(0, 40)[:20]
    defense = disclosure_budget(0.2, 20, relative_ridge=1.0)
    state = defense.init(ref.PARAMS)
    update = jax.jit(defense.update)
    for _ in range(50):
        updates, state = update(ref.unflatten(rows), state, example_ids=np.arange(20))
    assert (np.asarray(state.weights) == 0).all()
    assert (ref.flatten(updates) == 0).all()
    assert np.asarray(state.ledger.steps).max() < 50
    assert np.asarray(state.ledger.nats).max() <= np.float32(0.2)


def test_unknown_ids_do_not_contribute_inside_jit_and_raise_outside():
    rows = ref.random_rows(1, 8)
    ids = np.array([0, 1, 2, 3, 4, 5, -1, 99])
    defense = disclosure_budget(10.0, 8, relative_ridge=1.0)
    state = defense.init(ref.PARAMS)
    _, new = jax.jit(defense.update)(ref.unflatten(rows), state, example_ids=ids)
    np.testing.assert_array_equal(new.weights, [1, 1, 1, 1, 1, 1, 0, 0])
    assert np.asarray(new.ledger.steps).sum() == 6
    with pytest.raises(ValueError, match="example_ids"):
        defense.update(ref.unflatten(rows), state, example_ids=ids)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="budget_nats"):
        disclosure_budget(0.0, 10)
    with pytest.raises(ValueError, match="num_examples"):
        disclosure_budget(1.0, 0).init(ref.PARAMS)
