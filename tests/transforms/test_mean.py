import jax
import numpy as np

from gujax.transforms import mean
from tests.transforms import reference as ref


def step(transform, rows, **kwargs):
    return jax.jit(transform.update)(ref.unflatten(rows), transform.init(ref.PARAMS), **kwargs)


def test_averages_the_unmasked_examples_and_measures_nothing():
    rows = ref.random_rows(0, 12)
    mask = np.arange(12) < 7
    updates, state = step(mean(), rows, mask=mask)
    np.testing.assert_allclose(ref.flatten(updates), rows[:7].mean(0), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(state.weights, mask)
    assert state.uniqueness is None
    assert state.ledger is None


def test_audit_changes_nothing_but_the_ledger():
    rows = ref.random_rows(1, 12)
    plain, _ = step(mean(), rows)
    audited = mean(relative_ridge=0.1, num_examples=20)
    ids = np.arange(12) + 5
    updates, state = step(audited, rows, example_ids=ids)
    gnq = ref.gnq(rows, ref.relative(rows, 0.1))
    np.testing.assert_array_equal(ref.flatten(updates), ref.flatten(plain))
    np.testing.assert_allclose(state.uniqueness, gnq, rtol=1e-3)
    np.testing.assert_allclose(state.ledger.nats[5:17], ref.nats(gnq), rtol=1e-3)
    assert np.asarray(state.ledger.steps).tolist() == [0] * 5 + [1] * 12 + [0] * 3


def test_empty_batch_gives_a_zero_update():
    updates, _ = step(mean(), ref.random_rows(0, 4), mask=np.zeros(4, bool))
    np.testing.assert_array_equal(ref.flatten(updates), 0)
