import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gujax.uniqueness import Ledger, init_ledger, update_ledger


def assert_ledger(ledger, nats, mu_squared, steps):
    np.testing.assert_allclose(ledger.nats, nats, rtol=1e-6)
    np.testing.assert_allclose(ledger.mu_squared, mu_squared, rtol=1e-6)
    np.testing.assert_array_equal(ledger.steps, steps)


@pytest.mark.parametrize("update", [update_ledger, jax.jit(update_ledger)])
class TestUpdate:
    def test_adds(self, update):
        ledger = init_ledger(4)
        ledger = update(ledger, jnp.array([2, 0]), jnp.array([0.5, 0.1]), jnp.array([2.0, 1.0]))
        ledger = update(ledger, jnp.array([2, 3]), jnp.array([0.25, 0.0]), jnp.array([1.0, 0.0]))
        assert_ledger(ledger, [0.1, 0, 0.75, 0], [1, 0, 5, 0], [1, 0, 2, 1])

    def test_repeated_ids_add_up(self, update):
        ids = jnp.array([1, 1, 1])
        ledger = update(init_ledger(2), ids, jnp.array([0.1, 0.2, 0.3]), jnp.ones(3))
        assert_ledger(ledger, [0, 0.6], [0, 3], [0, 3])

    def test_padding_is_not_counted_whatever_it_holds(self, update):
        ids = jnp.array([0, -1, 7, 1])
        values = jnp.array([0.5, jnp.nan, jnp.inf, 0.25])
        mask = jnp.array([True, False, False, False])
        assert_ledger(
            update(init_ledger(2), ids, values, values, mask), [0.5, 0], [0.25, 0], [1, 0]
        )

    def test_infinite_and_nan_disclosure_stay_with_their_example(self, update):
        values = jnp.array([jnp.inf, jnp.nan])
        ledger = update(init_ledger(3), jnp.array([0, 1]), jnp.zeros(2), values)
        assert_ledger(ledger, [0, 0, 0], [np.inf, np.nan, 0], [1, 1, 0])


@pytest.mark.parametrize("bad", [-1, 3, 100])
def test_id_out_of_range(bad):
    ids, one = jnp.array([0, bad]), jnp.ones(2)
    with pytest.raises(ValueError, match=f"example_ids must lie in 0 to 2, got {bad}"):
        update_ledger(init_ledger(3), ids, one, one)
    # Inside jit: dropped. In particular a negative id does not count from the end.
    assert_ledger(jax.jit(update_ledger)(init_ledger(3), ids, one, one), *[[1, 0, 0]] * 3)


def test_bad_input():
    with pytest.raises(ValueError, match="num_examples must be at least 1, got 0"):
        init_ledger(0)
    with pytest.raises(ValueError, match=r"mu must have shape \(2,\)"):
        update_ledger(init_ledger(3), jnp.array([0, 1]), jnp.ones(2), jnp.ones(3))


def test_lives_in_a_scan():
    def step(ledger, ids):
        return update_ledger(ledger, ids, jnp.full(2, 0.5), jnp.ones(2)), None

    ids = jnp.array([[0, 1], [1, 2], [1, 0]])
    ledger, _ = jax.lax.scan(step, init_ledger(3), ids)
    assert isinstance(ledger, Ledger)
    assert_ledger(ledger, [1, 1.5, 0.5], [2, 3, 1], [2, 3, 1])
