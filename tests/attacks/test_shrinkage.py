import numpy as np
import pytest
from scipy.special import polygamma

from gujax.attacks.membership._shrinkage import _inverse_trigamma, shrink_variances


def test_the_inverse_of_trigamma():
    x = np.array([1e-3, 0.1, 0.5, 1, 3, 50, 1e5])
    np.testing.assert_allclose(_inverse_trigamma(polygamma(1, x)), x, rtol=1e-8)


@pytest.mark.parametrize("prior", [3.0, 20.0])
def test_finds_the_prior_that_variances_were_drawn_from(prior):
    """σ² = d₀ s₀² / χ²(d₀), and SS = σ² χ²(d): the posterior mean of 1/σ² is 1/v exactly."""
    rng = np.random.default_rng(0)
    degrees = rng.integers(4, 9, (1, 20_000)).astype(float)
    truth = prior * 2.5 / rng.chisquare(prior, degrees.shape)
    found = shrink_variances(truth * rng.chisquare(degrees), degrees)
    np.testing.assert_allclose(found.degrees - degrees, prior, rtol=0.1)
    # With v as scale, v/σ² is χ²(ν)/ν whatever was measured.
    assert (found.variance / truth).mean() == pytest.approx(1, abs=0.02)


def test_equal_variances_are_pooled():
    rng = np.random.default_rng(0)
    squares, degrees = rng.chisquare(5, (2, 2000)) * 4.0, np.full((2, 2000), 5.0)
    found = shrink_variances(squares, degrees)
    np.testing.assert_allclose(found.variance, 4.0, rtol=0.15)
    assert found.variance.std() < 0.25


def test_examples_without_models_get_the_usual_variance():
    degrees = np.array([[3.0, 0.0, 3.0]])
    found = shrink_variances(np.array([[3.0, 0.0, 3.0]]), degrees)
    assert np.isfinite(found.variance).all()
    assert np.isnan(shrink_variances(np.zeros((1, 3)), np.zeros((1, 3))).variance).all()
