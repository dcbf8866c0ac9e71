from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gujax.training import plan_batches, random_halves
from gujax.training._batches import epoch_batches


@partial(jax.jit, static_argnames="plan")
def epoch(plan, key, members):
    """All batches of an epoch: positions and masks, [steps, B], overflow, [steps]."""
    batch_at = epoch_batches(plan, key, jnp.asarray(members))
    return jax.lax.map(batch_at, jnp.arange(plan.steps_per_epoch))


class TestShuffle:
    @given(
        # Few shapes, so few compilations; which examples are members is free.
        st.sampled_from([(1, 1), (5, 1), (5, 5), (7, 3), (12, 5)]),
        st.permutations(range(12)),
        st.integers(0, 99),
    )
    @settings(max_examples=40, deadline=None)
    def test_every_member_once_per_epoch_and_nobody_else(self, sizes, order, seed):
        num_members, batch_size = sizes
        members = np.isin(np.arange(12), order[:num_members])
        plan = plan_batches(members, batch_size, epochs=3)
        batches = epoch(plan, jax.random.key(seed), members)
        assert batches.positions.shape == (plan.steps_per_epoch, batch_size)
        drawn = np.sort(batches.positions[batches.mask])
        np.testing.assert_array_equal(drawn, np.flatnonzero(members))
        assert members[batches.positions].all()  # the empty slots too
        assert (batches.overflow == 0).all()

    def test_epochs_differ_and_order_is_uniform(self):
        plan = plan_batches(6, 6, epochs=1)
        keys = jax.random.split(jax.random.key(0), 3000)
        orders = jax.vmap(lambda k: epoch_batches(plan, k, jnp.ones(6, bool))(0).positions)(keys)
        counts = np.array([np.bincount(column, minlength=6) for column in orders.T])
        # 25 degrees of freedom; a correct sampler fails with probability 1e-6.
        assert np.sum((counts - 500) ** 2 / 500) < stats.chi2.isf(1e-6, 25)

    def test_models_with_fewer_members_end_in_empty_batches(self):
        masks = np.array([[True] * 10, [True] * 3 + [False] * 7])
        plan = plan_batches(masks, 4, epochs=1)
        assert plan.may_be_empty
        assert plan.steps_per_epoch == 3
        filled = epoch(plan, jax.random.key(0), masks[1]).mask.sum(axis=1)
        np.testing.assert_array_equal(filled, [3, 0, 0])
        assert not plan_batches(masks[:1], 4, epochs=1).may_be_empty


class TestPoisson:
    def test_sizes_are_binomial_and_members_equally_likely(self):
        members = np.arange(300) % 3 > 0  # 200 members
        plan = plan_batches(members, 20, epochs=400, sampling="poisson")
        assert plan.sampling_rate == pytest.approx(0.1)
        keys = jax.random.split(jax.random.key(0), 400)
        batches = jax.vmap(lambda key: epoch(plan, key, members))(keys)
        sizes = np.asarray(batches.mask.sum(axis=-1)).reshape(-1)
        steps = sizes.size
        assert steps == 4000
        expected_variance = 200 * 0.1 * 0.9
        # Five standard errors of the mean, and of the variance of a nearly normal variable.
        assert abs(sizes.mean() - 20) < 5 * np.sqrt(expected_variance / steps)
        assert abs(sizes.var() / expected_variance - 1) < 5 * np.sqrt(2 / steps)
        counts = np.bincount(np.asarray(batches.positions[batches.mask]), minlength=300)
        assert (counts[~members] == 0).all()
        deviation = np.sqrt(steps * 0.1 * 0.9)
        assert np.abs(counts[members] - steps * 0.1).max() < 5.5 * deviation
        assert batches.overflow.sum() == 0

    def test_members_join_independently(self):
        plan = plan_batches(4, 2, epochs=1, sampling="poisson")
        keys = jax.random.split(jax.random.key(1), 16_000)
        batch = jax.vmap(lambda k: epoch_batches(plan, k, jnp.ones(4, bool))(0))(keys)
        joined = np.zeros((16_000, 4), int)
        rows = np.repeat(np.arange(16_000), plan.physical_size).reshape(batch.mask.shape)
        joined[rows[batch.mask], batch.positions[batch.mask]] = 1
        counts = np.bincount(joined @ [1, 2, 4, 8], minlength=16)
        assert np.sum((counts - 1000) ** 2 / 1000) < stats.chi2.isf(1e-6, 15)

    def test_steps_of_an_epoch_are_different_draws(self):
        members = np.ones(100, bool)
        plan = plan_batches(members, 10, epochs=1, sampling="poisson")
        batches = epoch(plan, jax.random.key(0), members)
        sets = {tuple(p[m].tolist()) for p, m in zip(batches.positions, batches.mask)}
        assert len(sets) == plan.steps_per_epoch

    def test_physical_size_is_the_smallest_that_bounds_the_overflow(self):
        plan = plan_batches(1000, 50, epochs=30, sampling="poisson")
        size, draws = plan.physical_size, 30 * plan.steps_per_epoch
        assert draws * stats.binom.sf(size, 1000, 0.05) < 1e-6
        assert draws * stats.binom.sf(size - 1, 1000, 0.05) > 1e-6

    def test_overflow_is_cut_and_counted(self):
        members = np.ones(100, bool)
        plan = plan_batches(members, 50, epochs=1, sampling="poisson")
        small = type(plan)(**{**vars(plan), "physical_size": 20})
        whole, cut = (epoch(p, jax.random.key(0), members) for p in (plan, small))
        assert cut.mask.all()
        np.testing.assert_array_equal(cut.overflow, whole.mask.sum(axis=1) - 20)

    def test_an_empty_batch_has_no_member(self):
        members = np.ones(2, bool)
        plan = plan_batches(members, 1, epochs=1, sampling="poisson")
        keys = jax.random.split(jax.random.key(0), 20)
        sizes = jax.vmap(lambda key: epoch(plan, key, members))(keys).mask.sum(axis=-1)
        assert np.min(sizes) == 0


class TestPlan:
    def test_one_rate_for_all_models(self):
        masks = np.array([[True] * 10, [True] * 8 + [False] * 2])
        plan = plan_batches(masks, 2, epochs=1, sampling="poisson")
        assert (plan.num_members, plan.sampling_rate) == (10, 0.2)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"members": 10, "batch_size": 11}, "batch_size=11 must be between 1 and.*10"),
            ({"members": 10, "batch_size": 0}, "batch_size=0 must be between 1 and.*10"),
            ({"members": np.zeros(3, bool), "batch_size": 1}, "without members"),
            ({"members": 10, "batch_size": 5, "epochs": 0}, "epochs=0 must be at least 1"),
            ({"members": 10, "batch_size": 5, "sampling": "x"}, "sampling='x' must be 'shuffle'"),
        ],
    )
    def test_wrong_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            plan_batches(**{"epochs": 1, **arguments})


class TestRandomHalves:
    @pytest.mark.parametrize("num_examples", [10, 11])
    def test_exact_halves_both_ways(self, num_examples):
        halves = np.asarray(random_halves(jax.random.key(0), 6, num_examples))
        np.testing.assert_array_equal(halves.sum(axis=0), 3)
        assert set(halves.sum(axis=1)) <= {num_examples // 2, (num_examples + 1) // 2}
        assert len({half.tobytes() for half in halves}) == 6

    def test_an_odd_number_of_models_is_refused(self):
        with pytest.raises(ValueError, match="num_models=3 must be even"):
            random_halves(jax.random.key(0), 3, 10)
