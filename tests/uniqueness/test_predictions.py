import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from gujax.uniqueness import gdp_delta, predicted_advantage, predicted_auc, predicted_tpr

MUS = np.array([0.0, 1e-3, 0.1, 0.5, 1.0, 3.0, 6.0])


@pytest.mark.parametrize("mu", MUS)
def test_auc_is_the_area_under_the_roc_curve(mu):
    def tpr(fpr):
        return scipy.stats.norm.cdf(scipy.stats.norm.ppf(fpr) + mu)

    area = scipy.integrate.quad(tpr, 0, 1, points=[1e-6, 1e-3, 0.05], limit=200)[0]
    np.testing.assert_allclose(predicted_auc(mu), area, atol=2e-6)


@pytest.mark.parametrize("fpr", [1e-5, 1e-3, 0.01, 0.3, 0.9])
def test_tpr(fpr):
    exact = scipy.stats.norm.cdf(scipy.stats.norm.ppf(fpr) + MUS)
    np.testing.assert_allclose(predicted_tpr(MUS, fpr), exact, rtol=1e-4)


def test_tpr_at_the_ends():
    np.testing.assert_array_equal(predicted_tpr(1.0, jnp.array([0.0, 1.0])), [0, 1])
    np.testing.assert_array_equal(predicted_tpr(np.inf, jnp.array([0.0, 0.01, 1.0])), [1, 1, 1])


def test_advantage_is_the_largest_gap():
    fpr = np.linspace(0, 1, 200_001)
    for mu in MUS:
        gap = scipy.stats.norm.cdf(scipy.stats.norm.ppf(fpr) + mu) - fpr
        np.testing.assert_allclose(predicted_advantage(mu), gap.max(), atol=1e-6)
    np.testing.assert_allclose(predicted_advantage(1e-6), 1e-6 / np.sqrt(2 * np.pi), rtol=1e-5)
    assert predicted_advantage(np.inf) == 1


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0, 8.0])
def test_delta_is_the_hockey_stick_divergence(epsilon):
    for mu in MUS[2:]:

        def excess(y, mu=mu):
            gap = scipy.stats.norm.pdf(y - mu) - np.exp(epsilon) * scipy.stats.norm.pdf(y)
            return max(gap, 0)

        threshold = epsilon / mu + mu / 2
        delta = scipy.integrate.quad(excess, threshold, max(threshold, mu) + 12, epsabs=0)[0]
        # float32 loses digits of the normal tail in proportion to its exponent.
        np.testing.assert_allclose(gdp_delta(mu, epsilon), delta, rtol=1e-3, atol=1e-30)
        with jax.enable_x64(True):
            np.testing.assert_allclose(gdp_delta(mu, epsilon), delta, rtol=1e-6, atol=1e-30)


def test_delta_at_the_ends():
    np.testing.assert_array_equal(gdp_delta(jnp.array([0.0, jnp.inf]), 1.0), [0, 1])
    np.testing.assert_allclose(gdp_delta(MUS, 0.0), predicted_advantage(MUS), atol=1e-6)


def test_nan_stays_nan():
    for function in (predicted_auc, predicted_advantage):
        assert np.isnan(function(jnp.nan))
    assert np.isnan(predicted_tpr(jnp.nan, 0.1))
    assert np.isnan(gdp_delta(jnp.nan, 1.0))


def test_bad_input():
    with pytest.raises(ValueError, match="fpr must lie between 0 and 1"):
        predicted_tpr(1.0, 1.1)
    with pytest.raises(ValueError, match="epsilon must be at least 0"):
        gdp_delta(1.0, -1.0)
