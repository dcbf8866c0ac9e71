import numpy as np
import pytest
import scipy.special
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

import gujax


def simulated(shift, deviation, draws, seed=0):
    """Scores of the likelihood-ratio attack and the truth, drawn from the model itself."""
    rng = np.random.default_rng(seed)
    members = rng.random((draws, len(shift))) < 0.5
    phi = shift * members + deviation * rng.normal(size=members.shape)
    score = (phi * shift - shift**2 / 2) / deviation**2
    return score.ravel(), members.ravel()


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
def test_against_simulation(scale):
    rng = np.random.default_rng(1)
    shift = scale * rng.lognormal(sigma=1, size=200)
    predicted = gujax.predict_attack(shift, 1.5)
    score, members = simulated(shift, 1.5, draws=4000)
    fpr, tpr, _ = sklearn.metrics.roc_curve(members, score)
    assert predicted.auc == pytest.approx(sklearn.metrics.roc_auc_score(members, score), abs=0.002)
    for rate in (0.001, 0.01, 0.1):
        assert predicted.tpr(rate) == pytest.approx(np.interp(rate, fpr, tpr), abs=0.004)


def test_a_deviation_per_example():
    shift, deviation = np.array([1.0, 2.0, 0.1]), np.array([0.5, 2.0, 1.0])
    np.testing.assert_allclose(gujax.predict_attack(shift, deviation).mu, [2, 1, 0.1])


@settings(max_examples=25, deadline=None)
@given(mu=st.floats(1e-3, 12), rate=st.floats(1e-4, 0.999))
def test_equal_examples_have_the_closed_form(mu, rate):
    predicted = gujax.predict_attack(np.full(5, 2 * mu), 2.0)
    assert predicted.auc == pytest.approx(float(gujax.predicted_auc(mu)), rel=1e-5)
    assert predicted.tpr(rate) == pytest.approx(float(gujax.predicted_tpr(mu, rate)), rel=1e-4)
    np.testing.assert_allclose(predicted.example_auc, predicted.auc, rtol=1e-9)
    np.testing.assert_allclose(predicted.example_tpr(rate), predicted.tpr(rate), rtol=1e-6)


def test_no_shift_is_no_attack():
    predicted = gujax.predict_attack(np.zeros(10), 1.0)
    assert predicted.auc == pytest.approx(0.5, abs=1e-8)
    np.testing.assert_allclose(predicted.tpr([0.01, 0.5]), [0.01, 0.5], atol=1e-6)


def test_the_roc_has_the_auc():
    rng = np.random.default_rng(2)
    predicted = gujax.predict_attack(rng.exponential(size=3000), 0.8)
    fpr, tpr = predicted.roc()
    assert np.all(np.diff(fpr) > 0)
    assert np.all(np.diff(tpr) >= -1e-12)
    assert np.trapezoid(tpr, fpr) == pytest.approx(predicted.auc, abs=1e-3)


def test_weights_stand_for_repetition():
    shift, counts = np.array([0.2, 1.0, 3.0]), np.array([4, 0, 2])
    weighted = gujax.predict_attack(shift, 1.0, weights=counts)
    repeated = gujax.predict_attack(np.repeat(shift, counts), 1.0)
    assert weighted.auc == pytest.approx(repeated.auc, rel=1e-12)
    np.testing.assert_allclose(weighted.tpr([0.01, 0.2]), repeated.tpr([0.01, 0.2]), rtol=1e-9)


def test_many_examples_are_grouped_without_harm():
    shift = np.random.default_rng(3).lognormal(size=2000)
    grouped = gujax.predict_attack(shift, 1.0)
    pairs = scipy.special.ndtr(np.hypot(shift[:, None], shift) / 2)
    assert grouped.auc == pytest.approx(pairs.mean(), abs=1e-4)
    for threshold in (0.5, 2.0, 8.0):
        fpr, tpr = (scipy.special.ndtr(s * shift / 2 - threshold / shift).mean() for s in (-1, 1))
        assert grouped.tpr(fpr) == pytest.approx(tpr, abs=3e-4)


@pytest.mark.parametrize(
    ("shift", "deviation", "message"),
    [
        (np.ones(3), 0.0, "deviation must be positive"),
        (np.ones(3), np.ones(2), r"a number or \[N\]"),
        (np.array([1.0, np.nan]), 1.0, "not finite"),
        (np.ones((2, 2)), 1.0, r"shift must be \[N\]"),
    ],
)
def test_what_is_no_shift(shift, deviation, message):
    with pytest.raises(ValueError, match=message):
        gujax.predict_attack(shift, deviation)


def test_a_rate_outside_0_and_1():
    with pytest.raises(ValueError, match="fpr=2 must lie between 0 and 1"):
        gujax.predict_attack(np.ones(3), 1.0).tpr(2)
