"""GNQ from Gaussian projections drawn with numpy, against the exact value in float64."""

import numpy as np
import pytest

from gujax.uniqueness import sketched_uniqueness

EXAMPLES, PARAMETERS, SIZE, PROJECTIONS = 150, 600, 100, 30


def gradients():
    """Gradients with a decaying spectrum, and norms over three orders of magnitude."""
    rng = np.random.default_rng(0)
    norms = 10 ** rng.uniform(-2, 1, size=(EXAMPLES, 1))
    decay = 1 / np.sqrt(1 + np.arange(PARAMETERS))
    return norms * rng.normal(size=(EXAMPLES, PARAMETERS)) * decay


G = gradients()
EIGENVALUES, VECTORS = np.linalg.eigh(G @ G.T)


def leverage(ridge):
    return VECTORS**2 @ (EIGENVALUES / (EIGENVALUES + ridge))


def exact(ridge):
    return leverage(ridge) / (1 - leverage(ridge))


def ridge_of(effective_dimension):
    """The ridge for which the leverages add up to this, by bisection."""
    low, high = 1e-6, 1e6
    for _ in range(100):
        middle = np.sqrt(low * high)
        low, high = (
            (middle, high) if leverage(middle).sum() > effective_dimension else (low, middle)
        )
    return middle


def estimates(ridge):
    """Results of `PROJECTIONS` projections, stacked."""
    rng = np.random.default_rng(1)
    results = []
    for _ in range(PROJECTIONS):
        projection = rng.normal(size=(PARAMETERS, SIZE)) / np.sqrt(SIZE)
        results.append(sketched_uniqueness((G @ projection).astype(np.float32), ridge))
    return [np.stack(values) for values in zip(*results, strict=True)]


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
def test_nearly_unbiased_with_honest_errors(share):
    """For effective dimensions of a share of the sketch's size."""
    ridge = ridge_of(share * SIZE)
    gnq, standard_error, found_ridge, effective_dimension = estimates(ridge)
    np.testing.assert_allclose(found_ridge, ridge, rtol=0.01)
    np.testing.assert_allclose(effective_dimension.mean(), share * SIZE, rtol=0.02)

    z = (gnq - exact(ridge)) / standard_error
    assert 0.91 < np.mean(np.abs(z) < 1.96) < 0.97
    spread = gnq.std(axis=0, ddof=1)
    assert 0.9 < np.median(standard_error.mean(axis=0) / spread) < 1.1
    # Without the correction of the ridge it would be too small by the share.
    assert abs(np.median(gnq.mean(axis=0) / exact(ridge)) - 1) < 0.02


def test_a_sketch_that_is_too_small_states_the_ridge_it_stands_for():
    asked = ridge_of(1.2 * SIZE)
    gnq, standard_error, ridge, effective_dimension = estimates(asked)
    assert np.all(ridge > 1.5 * asked)
    np.testing.assert_allclose(effective_dimension, 0.9 * SIZE, rtol=0.01)
    ratio = gnq / np.stack([exact(r) for r in ridge])
    assert abs(np.median(ratio.mean(axis=0)) - 1) < 0.05
    relative_error = standard_error / np.stack([exact(r) for r in ridge])
    assert 0.9 < np.median(relative_error.mean(axis=0) / ratio.std(axis=0, ddof=1)) < 1.1


def test_gradients_that_are_zero():
    sketches = np.zeros((5, 8), np.float32)
    sketches[0] = 1
    gnq, standard_error, *_ = sketched_uniqueness(sketches, 1.0)
    assert gnq[0] > 1
    np.testing.assert_array_equal(gnq[1:], 0)
    np.testing.assert_array_equal(standard_error[1:], 0)


def test_errors():
    with pytest.raises(ValueError, match="ridge must be greater than 0"):
        sketched_uniqueness(np.ones((3, 4), np.float32), 0.0)
    with pytest.raises(ValueError, match=r"sketches must be a matrix \[N, k\]"):
        sketched_uniqueness(np.ones(4, np.float32), 1.0)
