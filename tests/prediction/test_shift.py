from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit

import gujax
from gujax.prediction import (
    UncalibratedError,
    generalization_gap,
    gram_spectrum,
    influence_deviation,
    paired_gap,
    ridge_for_gap,
    shift_of,
    sketch_spectrum,
)
from tests.prediction.problems import fit_logistic, logistic_pool, random_pool

pools = st.tuples(st.integers(0, 2**20), st.integers(6, 40), st.integers(1, 30))


def influence_by_definition(gradients, phi, members, ridge):
    """a_j from one dense leave-one-out matrix per example in parameter space."""
    weights = expit(phi) * expit(-phi)
    out = np.empty(len(phi))
    for j, g in enumerate(gradients):
        others = members & (np.arange(len(phi)) != j)
        S = gradients[others].T @ (weights[others, None] * gradients[others])
        out[j] = g @ np.linalg.solve(S + ridge * np.eye(len(g)), g)
    return out


class TestInfluence:
    @settings(max_examples=40, deadline=None)
    @given(pool=pools, log_ridge=st.floats(-3, 3))
    def test_definition(self, pool, log_ridge):
        gradients, phi, members = random_pool(*pool)
        spectrum = gram_spectrum(gradients @ gradients.T, phi, members)
        expected = influence_by_definition(gradients, phi, members, 10**log_ridge)
        np.testing.assert_allclose(spectrum.self_influence(10**log_ridge), expected, rtol=1e-8)

    @pytest.mark.parametrize("parameters", [8, 60])
    def test_members_have_the_gnq_of_the_core(self, parameters):
        gradients, phi, members = random_pool(1, 40, parameters)
        weights = expit(phi) * expit(-phi)
        weighted = np.sqrt(weights)[members, None] * gradients[members]
        spectrum = gram_spectrum(gradients @ gradients.T, phi, members)
        with jax.enable_x64(True):
            gnq = np.asarray(gujax.uniqueness(jnp.asarray(weighted @ weighted.T), 0.3))
        found = (weights * spectrum.self_influence(0.3))[members]
        np.testing.assert_allclose(found, gnq, rtol=1e-8)

    def test_a_member_fitted_to_the_last_digit(self):
        gradients, phi, members = random_pool(2, 12, 5)
        phi[members.nonzero()[0][0]] = 800.0  # its curvature is exactly zero in float64
        found = gram_spectrum(gradients @ gradients.T, phi, members).self_influence(0.1)
        expected = influence_by_definition(gradients, phi, members, 0.1)
        np.testing.assert_allclose(found, expected, rtol=1e-6)

    @pytest.mark.parametrize("parameters", [8, 60])
    def test_a_sketch_that_is_the_gradient_itself(self, parameters):
        gradients, phi, members = random_pool(3, 40, parameters)
        exact = gram_spectrum(gradients @ gradients.T, phi, members)
        sketched = sketch_spectrum(gradients, phi, members)
        np.testing.assert_allclose(
            sketched.self_influence(0.3), exact.self_influence(0.3), rtol=1e-8
        )

    def test_gram_in_float32(self):
        gradients, phi, members = random_pool(4, 300, 40)
        K = gradients @ gradients.T
        exact = gram_spectrum(K, phi, members).self_influence(1.0)
        found = gram_spectrum(K.astype(np.float32), phi, members).self_influence(1.0)
        np.testing.assert_allclose(found, exact, rtol=1e-3)


class TestShift:
    @settings(max_examples=30, deadline=None)
    @given(pool=pools, log_ridge=st.floats(-3, 3))
    def test_it_solves_its_equation(self, pool, log_ridge):
        gradients, phi, members = random_pool(*pool, scale=3)
        gram, ridge = gradients @ gradients.T, 10**log_ridge
        shift = gujax.membership_shift(gram, phi, members, ridge)
        a = gram_spectrum(gram, phi, members).self_influence(ridge)
        outside = np.where(members, phi - a * expit(-phi), phi)
        np.testing.assert_allclose(shift, a * expit(-(outside + shift)), rtol=1e-7, atol=1e-12)

    @settings(max_examples=30, deadline=None)
    @given(pool=pools, log_ridge=st.floats(-3, 2))
    def test_it_falls_in_the_ridge(self, pool, log_ridge):
        gradients, phi, members = random_pool(*pool)
        gram, ridge = gradients @ gradients.T, 10**log_ridge
        small, large = (gujax.membership_shift(gram, phi, members, r) for r in (ridge, 1.5 * ridge))
        assert np.all(small >= large * (1 - 1e-9))

    @settings(max_examples=20, deadline=None)
    @given(pool=pools)
    def test_order_does_not_matter(self, pool):
        gradients, phi, members = random_pool(*pool)
        order = np.random.default_rng(0).permutation(len(phi))
        gram = gradients @ gradients.T
        straight = gujax.membership_shift(gram, phi, members, 0.5)
        shuffled = gujax.membership_shift(
            gram[np.ix_(order, order)], phi[order], members[order], 0.5
        )
        np.testing.assert_allclose(shuffled, straight[order], rtol=1e-8)

    def test_a_ridge_of_zero_is_refused(self):
        gradients, phi, members = random_pool(0, 10, 4)
        with pytest.raises(ValueError, match="ridge must be greater than 0"):
            gujax.membership_shift(gradients @ gradients.T, phi, members, 0.0)


class TestLeaveOneOutRetraining:
    """Logistic regression with a ridge, trained to convergence, and retrained per example."""

    RIDGE = 2.0
    MEMBERS = 200

    @pytest.fixture(scope="class")
    @classmethod
    def problem(cls):
        rows, members = logistic_pool(seed=0, members=cls.MEMBERS, held_out=400, features=30)
        theta = fit_logistic(rows[members], cls.RIDGE)
        phi = rows @ theta
        inside = rows[members]
        true = np.empty(cls.MEMBERS + 50)
        for j, row in enumerate(rows[: len(true)]):
            others = np.delete(inside, j, axis=0) if members[j] else np.vstack([inside, row])
            retrained = row @ fit_logistic(others, cls.RIDGE, theta)
            true[j] = phi[j] - retrained if members[j] else retrained - phi[j]
        return rows @ rows.T, members, phi, true

    def test_with_the_ridge_of_training(self, problem):
        gram, members, phi, true = problem
        shift = gujax.membership_shift(gram, phi, members, self.RIDGE)[: len(true)]
        error = np.abs(shift / true - 1)
        assert np.median(error) < 0.01
        assert np.quantile(error, 0.95) < 0.05

    def test_under_label_smoothing(self):
        """Training pulls the surest examples back, and retraining shows the same."""
        target = 0.8
        rows, members = logistic_pool(seed=1, members=self.MEMBERS, held_out=400, features=30)
        theta = fit_logistic(rows[members], 0.5, target=target)
        phi, inside = rows @ theta, rows[members]
        true = np.array(
            [
                phi[j] - row @ fit_logistic(np.delete(inside, j, axis=0), 0.5, theta, target)
                for j, row in enumerate(inside)
            ]
        )
        assert np.mean(true < 0) > 0.1
        spectrum = replace(gram_spectrum(rows @ rows.T, phi, members), target=target)
        shift = gujax.membership_shift(spectrum, phi, members, 0.5)[members]
        error = np.abs(shift - true) / np.abs(true).mean()
        assert np.median(error) < 0.01
        assert np.quantile(error, 0.95) < 0.05

    def test_with_the_calibrated_ridge(self, problem):
        gram, members, phi, true = problem
        # The gap of one draw of examples is the mean shift plus the luck of the draw, which is no
        # matter of the formula: the ridge is calibrated by the true mean shift.
        spectrum, gap = gram_spectrum(gram, phi, members), generalization_gap(phi, members)
        ridge = ridge_for_gap(spectrum, gap, true[members[: len(true)].nonzero()].mean())
        shift = gujax.membership_shift(gram, phi, members, ridge)[: len(true)]
        error = np.abs(shift / true - 1)
        assert np.median(error) < 0.03
        assert np.quantile(error, 0.95) < 0.05


class TestCalibration:
    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 2**20), size=st.integers(6, 40), gap=st.floats(0.2, 2))
    def test_the_root_equation(self, seed, size, gap):
        gradients, phi, members = random_pool(seed, size, 60, scale=0.01)
        phi[members] += gap - phi[members].mean() + phi[~members].mean()
        gram = gradients @ gradients.T
        ridge = gujax.calibrated_ridge(gram, phi, members)
        shift = gujax.membership_shift(gram, phi, members, ridge)
        np.testing.assert_allclose(shift[members].mean(), gap, rtol=1e-8)

    def test_a_gap_that_training_cannot_have_made(self):
        gradients, phi, members = random_pool(0, 60, 3, scale=0.1)
        with pytest.raises(UncalibratedError, match="more than training explains at any ridge"):
            gujax.calibrated_ridge(gradients @ gradients.T, phi + 10 * members, members)

    def test_a_larger_gap_has_a_smaller_ridge(self):
        gradients, phi, members = random_pool(0, 60, 100, scale=0.05)
        ridges = [
            gujax.calibrated_ridge(gradients @ gradients.T, phi + gap * members, members)
            for gap in (0.2, 0.4, 0.8)
        ]
        assert ridges[0] > ridges[1] > ridges[2] > 0

    @pytest.mark.parametrize(
        ("gap", "message"), [(-0.5, "^no gap: nothing"), (0.02, "^no significant gap: nothing")]
    )
    def test_no_gap_is_said_and_not_made_up(self, gap, message):
        gradients, phi, members = random_pool(0, 60, 20, scale=0.1)
        phi += members * (gap - phi[members].mean() + phi[~members].mean())
        with pytest.raises(UncalibratedError, match=message) as caught:
            gujax.calibrated_ridge(gradients @ gradients.T, phi, members)
        assert "upper limit: a mean shift of" in str(caught.value)
        assert caught.value.gap.mean == pytest.approx(gap)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"members": np.ones(10, bool)}, "held-out examples are needed"),
            ({"members": np.ones(10)}, "must be boolean"),
            ({"phi": np.full(10, np.nan)}, "phi has 10 entries that are not finite"),
            ({"gram": np.zeros((10, 9))}, r"must be \[N, N\]"),
            ({"phi": np.zeros(9)}, "same N examples"),
            ({"gram": np.zeros((10, 10))}, "all gradients of φ are zero"),
        ],
    )
    def test_what_does_not_fit(self, change, message):
        gradients, phi, members = random_pool(0, 10, 4)
        arguments = {"gram": gradients @ gradients.T, "phi": phi, "members": members, **change}
        with pytest.raises(ValueError, match=message):
            gujax.calibrated_ridge(**arguments)


class TestPairedGap:
    @pytest.mark.parametrize("on", ["another half", "some of the members"])
    def test_it_is_the_mean_shift_with_less_noise(self, on):
        rng = np.random.default_rng(0)
        shift, members = rng.exponential(size=2000), rng.random((2, 2000)) < 0.5
        if on == "some of the members":
            members[1] &= members[0]
        base = 5 * rng.normal(size=2000)
        first, second = base + shift * members + 0.5 * rng.normal(size=(2, 2000))
        gap = paired_gap(first, second + 1, *members)
        assert abs(gap.mean - shift.mean()) < 3 * gap.standard_error
        assert gap.standard_error < generalization_gap(first, members[0]).standard_error / 3

    def test_calibration_takes_it(self):
        gradients, phi, members = random_pool(0, 160, 200)
        again = np.random.default_rng(1).random(160) < 0.5
        gap = paired_gap(phi, phi - 0.3 * members + 0.3 * again, members, again)
        assert gap.mean == pytest.approx(0.3)
        gram = gradients @ gradients.T
        ridge = gujax.calibrated_ridge(gram, phi, members, gap=gap)
        shift = gujax.membership_shift(gram, phi, members, ridge)
        left, joined = shift[members & ~again], shift[again & ~members]
        assert (left.mean() + joined.mean()) / 2 == pytest.approx(0.3, rel=1e-8)

    def test_a_rerun_on_the_same_members(self):
        _, phi, members = random_pool(0, 80, 3)
        with pytest.raises(ValueError, match="leaves out 0 members"):
            paired_gap(phi, phi + 1, members, members)


class TestSmoothedGap:
    """Signals move up or down towards one value."""

    TARGET = 0.6

    def runs(self, strength):
        rng = np.random.default_rng(6)
        base, masks = 3 * rng.normal(size=4000), np.argsort(rng.random((2, 4000))) < 2000
        pulls = self.TARGET - expit(base)
        phis = base + strength * pulls * masks + 0.3 * rng.normal(size=(2, 4000))
        return phis, masks, np.abs(strength * pulls).mean()

    def test_it_is_the_mean_size_of_the_shift(self):
        phis, masks, size = self.runs(0.5)
        signed = paired_gap(phis[0], phis[1], *masks, self.TARGET)
        assert abs(signed.mean - size) < 3 * signed.standard_error
        assert paired_gap(phis[0], phis[1], *masks).mean < 0.5 * size

    def test_nothing_learned_is_no_gap(self):
        phis, masks, _ = self.runs(0.0)
        gap = paired_gap(phis[0], phis[1], *masks, self.TARGET)
        assert abs(gap.mean) < 3 * gap.standard_error

    def test_calibration_takes_it(self):
        gradients, phi, members = random_pool(0, 160, 200)
        again = np.random.default_rng(1).random(160) < 0.5
        target = 0.7
        ways = np.where(expit(phi) > target, -1, 1)
        gap = paired_gap(phi, phi + 0.2 * ways * (1 * again - members), members, again, target)
        spectrum = replace(gram_spectrum(gradients @ gradients.T, phi, members), target=target)
        ridge = gujax.calibrated_ridge(spectrum, phi, members, gap=gap)
        shift = gujax.membership_shift(spectrum, phi, members, ridge)
        assert gap.predicted(shift) == pytest.approx(gap.mean)
        assert shift.min() < 0 < shift.max()


class TestReruns:
    def test_the_gap_over_all_pairs_is_least_squares(self):
        """Of φ = example + run + gap · member, where all runs have equally many members."""
        rng = np.random.default_rng(2)
        runs, size = 4, 120
        masks = np.argsort(rng.random((runs, size))) < size // 2
        phis = rng.normal(size=size) + masks * 0.7 + 0.2 * rng.normal(size=(runs, size))
        gap = paired_gap(phis[0], phis[1:], masks[0], masks[1:])
        of_pairs = [
            paired_gap(phis[i], phis[j], masks[i], masks[j]).mean
            for i in range(runs)
            for j in range(i)
        ]
        assert gap.mean == pytest.approx(np.mean(of_pairs))
        columns = [np.eye(size)[None].repeat(runs, 0), np.eye(runs)[:, None].repeat(size, 1)]
        design = np.concatenate([*columns, masks[..., None]], axis=2).reshape(runs * size, -1)
        (*_, fitted) = np.linalg.lstsq(design, phis.reshape(-1))[0]
        # Pairs weigh by the inverse of how many examples they tell apart: nearly the same.
        assert gap.mean == pytest.approx(fitted, abs=0.2 * gap.standard_error)

    def test_the_standard_error_is_the_spread_of_gaps(self):
        rng = np.random.default_rng(3)
        found = []
        for _ in range(200):
            masks = rng.random((4, 200)) < 0.5
            phis = rng.normal(size=200) + masks * 0.7 + rng.normal(size=(4, 200))
            gap = paired_gap(phis[0], phis[1:], masks[0], masks[1:])
            found.append((gap.mean, gap.standard_error))
        means, errors = np.array(found).T
        assert means.std() == pytest.approx(np.mean(errors), rel=0.15)
        assert means.mean() == pytest.approx(0.7, abs=0.03)

    def test_the_pull_is_the_mean_over_runs(self):
        rng = np.random.default_rng(4)
        influence = rng.lognormal(0, 3, 50)
        signals, masks = 3 * rng.normal(size=(3, 50)), rng.random((3, 50)) < 0.5
        found = shift_of(influence, signals, masks)
        for j in range(50):

            def excess(d, j=j):
                with_it = signals[:, j] + np.where(masks[:, j], 0, d)
                return influence[j] * expit(-with_it).mean() - d

            assert found[j] == pytest.approx(brentq(excess, 0, influence[j], xtol=1e-14), rel=1e-8)

    def test_deviation_over_all_pairs(self):
        rng = np.random.default_rng(5)
        masks = rng.random((4, 3000)) < 0.5
        phis = rng.normal(size=3000) + 2 * masks + 0.3 * rng.normal(size=(4, 3000))
        found = gujax.prediction.rerun_deviation(phis[0], phis[1:], masks[0], masks[1:])
        assert found == pytest.approx(0.3, rel=0.03)


class TestDeviation:
    def test_influence_of_the_others_by_definition(self):
        gradients, phi, members = random_pool(5, 30, 12)
        spectrum = gram_spectrum(gradients @ gradients.T, phi, members)
        weights = expit(phi) * expit(-phi)
        S = gradients[members].T @ (weights[members, None] * gradients[members])
        C = np.linalg.inv(S + 0.4 * np.eye(12))
        moved = np.square(gradients @ C @ gradients[members].T * expit(-phi[members]))
        for column, k in enumerate(members.nonzero()[0]):
            moved[k, column] = 0
        expected = np.sqrt(np.mean(moved.sum(1)) / 2)
        np.testing.assert_allclose(influence_deviation(spectrum, 0.4), expected, rtol=1e-8)

    def test_rerun(self):
        rng = np.random.default_rng(0)
        base = rng.normal(size=4000)
        first, second = (base + 0.3 * rng.normal(size=4000) for _ in range(2))
        members, again = rng.random((2, 4000)) < 0.5
        second[members != again] += 5  # treated differently: not counted
        found = gujax.prediction.rerun_deviation(first, second, members, again)
        assert found == pytest.approx(0.3, rel=0.05)

    @pytest.mark.parametrize(
        ("second", "again", "message"),
        [
            (np.zeros(40), np.ones(40, bool), "same model"),
            (np.ones(40), np.zeros(40, bool), "agrees with members on 0"),
            (np.ones(30), np.zeros(40, bool), "one entry per example"),
        ],
    )
    def test_what_is_no_rerun(self, second, again, message):
        with pytest.raises(ValueError, match=message):
            gujax.prediction.rerun_deviation(np.zeros(40), second, np.ones(40, bool), again)


def test_sketches_in_float32_give_what_they_give_in_float64():
    """Over ten decades of eigenvalues, from a strong ridge to none."""
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    scales = 10.0 ** np.linspace(2, -3, 64)
    sketches = (rng.standard_normal((900, 64)) * scales @ rotation).astype(np.float32)
    phi, members = 3 * rng.standard_normal(900), np.arange(900) < 600
    narrow, wide = (sketch_spectrum(z, phi, members) for z in (sketches, sketches.astype(float)))
    for ridge in (1e3, 1.0, 1e-3, 1e-6):
        np.testing.assert_allclose(
            narrow.self_influence(ridge), wide.self_influence(ridge), rtol=2e-3
        )
