import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from gujax.uniqueness import binary_information, disclosure_bound, membership_mu

PROBABILITIES = [0.5, 0.1, 0.9, 0.01, 1e-4]
MUS = [0.01, 0.05, 0.19, 0.21, 0.5, 1.0, 2.0, 4.0, 7.0, 10.0, 15.0]


def entropy(p):
    return scipy.stats.bernoulli(p).entropy()


def information_by_quadrature(mu, p):
    """I = h(Y) - h(Z), as the integral of the binary channel's information density."""

    def density(y):
        absent, present = scipy.stats.norm.pdf(y), scipy.stats.norm.pdf(y - mu)
        mixture = (1 - p) * absent + p * present
        return sum(
            weight * d * np.log(d / mixture)
            for weight, d in ((1 - p, absent), (p, present))
            if d > 0
        )

    knots = np.linspace(-10, mu + 10, 30)
    return sum(
        scipy.integrate.quad(density, a, b, epsabs=1e-14, epsrel=1e-12)[0]
        for a, b in itertools.pairwise(knots)
    )


class TestBinaryInformation:
    @pytest.mark.parametrize(
        "p", [0.5, 1e-4, *(pytest.param(p, marks=pytest.mark.long) for p in (0.1, 0.9, 0.01))]
    )
    def test_against_quadrature(self, p):
        gnq = np.square(MUS) * p * (1 - p)
        truth = [information_by_quadrature(mu, p) for mu in MUS]
        # Relative, so that thousands of small steps may be added up.
        np.testing.assert_allclose(binary_information(gnq.astype(np.float32), p), truth, rtol=3e-6)
        with jax.enable_x64(True):
            np.testing.assert_allclose(binary_information(gnq, p), truth, rtol=2e-8)

    @pytest.mark.parametrize("p", PROBABILITIES)
    def test_order_and_monotonicity(self, p):
        gnq = np.concatenate([[0], np.logspace(-12, 8, 400), [np.inf]]).astype(np.float32)
        information, bound = binary_information(gnq, p), disclosure_bound(gnq, p)
        assert (information <= bound).all()
        assert (bound <= np.float32(entropy(p)) * (1 + 1e-6)).all()
        assert (bound <= 0.5 * np.log1p(gnq) * (1 + 1e-6)).all()
        # Rounding may undo a step where the value is flat.
        assert (np.diff(information) >= -1e-6 * information[1:]).all()
        assert (np.diff(bound) >= 0).all()

    def test_limits(self):
        assert binary_information(0.0) == 0
        for p in PROBABILITIES:
            np.testing.assert_allclose(binary_information(np.inf, p), entropy(p), rtol=1e-6)
            np.testing.assert_allclose(disclosure_bound(np.inf, p), entropy(p), rtol=1e-6)
        # Little information: the channel's capacity is reached by any input.
        np.testing.assert_allclose(binary_information(1e-5), 0.5e-5, rtol=1e-4)

    def test_nan_stays_nan(self):
        for function in (binary_information, disclosure_bound, membership_mu):
            np.testing.assert_array_equal(
                np.isnan(function(jnp.array([jnp.nan, 1.0]))), [True, False]
            )

    def test_derivative(self):
        # I-MMSE (Guo, Shamai, Verdu 2005): at snr 0 the derivative by gnq is one half.
        derivative = jax.vmap(jax.grad(binary_information))
        gnq = jnp.array([0.0, 1e-3, 0.5, 3.0])
        exact = [0.5] + [
            (
                information_by_quadrature(2 * np.sqrt(g * 1.001), 0.5)
                - information_by_quadrature(2 * np.sqrt(g * 0.999), 0.5)
            )
            / (0.002 * g)
            for g in (1e-3, 0.5, 3.0)
        ]
        np.testing.assert_allclose(derivative(gnq), exact, rtol=1e-4)
        assert derivative(jnp.array([jnp.inf]))[0] == 0

    def test_jit_and_traced_probability(self):
        gnq, p = jnp.array([0.1, 2.0]), jnp.array([0.3, 0.2])
        each = [binary_information(g, float(q)) for g, q in zip(gnq, p)]
        np.testing.assert_allclose(jax.jit(binary_information)(gnq, p), each, rtol=1e-6)


def test_closed_forms():
    np.testing.assert_allclose(disclosure_bound(0.2, 0.5), 0.5 * np.log(1.2), rtol=1e-6)
    np.testing.assert_allclose(membership_mu(jnp.array([0, 3.0]), 0.25), [0, 4], rtol=1e-6)
    assert membership_mu(np.inf) == np.inf


@pytest.mark.parametrize("function", [binary_information, disclosure_bound, membership_mu])
@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, np.nan])
def test_probability_outside(function, p):
    with pytest.raises(ValueError, match="inclusion_probability must lie strictly between 0 and 1"):
        function(1.0, p)
