import time

import dp_accounting
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from gujax.transforms import calibrate_noise_multiplier, epsilon_spent


def dp_sgd_event(noise_multiplier, sampling_rate, num_steps):
    gaussian = dp_accounting.GaussianDpEvent(noise_multiplier)
    return dp_accounting.SelfComposedDpEvent(
        dp_accounting.PoissonSampledDpEvent(sampling_rate, gaussian), num_steps
    )


def gaussian_epsilon(mu, delta):
    """ε of a Gaussian mechanism of separation μ (Balle & Wang 2018, Theorem 8), exact."""

    def excess(e):
        both = stats.norm.cdf(mu / 2 - e / mu), np.exp(e + stats.norm.logcdf(-mu / 2 - e / mu))
        return both[0] - both[1] - delta

    return optimize.brentq(excess, 0, 10 * mu**2 + 200)


@pytest.mark.parametrize(("noise", "rate", "steps"), [(1.1, 0.01, 1000), (4.0, 0.1, 500)])
def test_agrees_with_dp_accounting(noise, rate, steps):
    """PLD is what dp-accounting itself gives, and RDP bounds it from above."""
    epsilon = epsilon_spent(noise, 1e-5, rate, steps)
    pld = dp_accounting.pld.PLDAccountant(value_discretization_interval=1e-4)
    pld.compose(dp_sgd_event(noise, rate, steps))
    rdp = dp_accounting.rdp.RdpAccountant()
    rdp.compose(dp_sgd_event(noise, rate, steps))
    assert epsilon == pytest.approx(pld.get_epsilon(1e-5), rel=1e-6)
    assert 0.8 * rdp.get_epsilon(1e-5) < epsilon < rdp.get_epsilon(1e-5)


@pytest.mark.parametrize(("noise", "steps"), [(5.0, 1), (20.0, 100), (50.0, 1000)])
def test_full_batches_are_a_gaussian_mechanism(noise, steps):
    exact = gaussian_epsilon(np.sqrt(steps) / noise, 1e-5)
    epsilon = epsilon_spent(noise, 1e-5, 1.0, steps)
    # An upper bound on a grid of 1e-4 per step.
    assert exact * (1 - 1e-9) <= epsilon <= exact * 1.005


@pytest.mark.parametrize(
    ("published", "noise", "steps"),
    [(1.0, 10.0, 875), (2.0, 6.0, 1125), (3.0, 5.0, 1593), (4.0, 4.0, 1687)],
)
def test_published_settings(published, noise, steps):
    """WRN-16-4 on CIFAR-10 (De et al. 2022): batch 4096 of 50,000, δ = 1e-5, accounted by RDP."""
    epsilon = epsilon_spent(noise, 1e-5, 4096 / 50_000, steps)
    assert 0.85 * published < epsilon <= published


@pytest.mark.parametrize(("target", "rate", "steps"), [(2.0, 0.05, 500), (8.0, 0.1, 200)])
def test_calibration_inverts_the_accountant(target, rate, steps):
    noise = calibrate_noise_multiplier(target, 1e-5, rate, steps)
    epsilon = epsilon_spent(noise, 1e-5, rate, steps)
    assert 0.99 * target < epsilon <= target


def test_limits():
    assert epsilon_spent(1.0, 1e-5, 0.1, 0) == 0
    assert epsilon_spent(0.0, 1e-5, 0.1, 10) == np.inf


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("noise_multiplier", (-1.0, 1e-5, 0.1, 10)),
        ("delta", (1.0, 0.0, 0.1, 10)),
        ("sampling_rate", (1.0, 1e-5, 1.5, 10)),
        ("sampling_rate", (1.0, 1e-5, 0.0, 10)),
        ("num_steps", (1.0, 1e-5, 0.1, -1)),
    ],
)
def test_bad_arguments_are_named(name, arguments):
    with pytest.raises(ValueError, match=name):
        epsilon_spent(*arguments)


@pytest.mark.parametrize(("name", "epsilon", "steps"), [("epsilon", 0.0, 1), ("num_steps", 1.0, 0)])
def test_calibration_names_bad_arguments(name, epsilon, steps):
    with pytest.raises(ValueError, match=name):
        calibrate_noise_multiplier(epsilon, 1e-5, 0.1, steps)


@pytest.mark.parametrize("number", [np.int64, np.uint8, np.float32, float, jnp.asarray])
def test_numbers_of_any_type(number):
    expected = epsilon_spent(5.0, 1e-5, 1.0, 3)
    assert epsilon_spent(5.0, 1e-5, 1.0, number(3)) == expected
    assert epsilon_spent(number(5), 1e-5, 1.0, 3) == expected


def test_calibration_takes_numbers_of_any_type():
    expected = calibrate_noise_multiplier(4.0, 1e-5, 1.0, 3)
    assert calibrate_noise_multiplier(np.float32(4), 1e-5, jnp.asarray(1), np.int64(3)) == expected


def test_steps_are_whole():
    for function in (epsilon_spent, calibrate_noise_multiplier):
        with pytest.raises(ValueError, match=r"num_steps=2.5 must be a whole number"):
            function(1.0, 1e-5, 0.1, 2.5)


@pytest.mark.parametrize(("noise", "steps"), [(0.1, 10), (0.05, 1), (0.3, 200)])
def test_small_noise_is_as_exact_and_no_slower(noise, steps):
    """Took 22 s: the grid of privacy losses is as long as ε."""
    exact = gaussian_epsilon(np.sqrt(steps) / noise, 1e-5)
    start = time.process_time()
    epsilon = epsilon_spent(noise, 1e-5, 1.0, steps)
    assert time.process_time() - start < 5
    assert exact * (1 - 1e-9) <= epsilon <= exact * 1.005


@pytest.mark.parametrize("target", [100.0, 1000.0])
def test_calibration_of_small_noise(target):
    start = time.process_time()
    noise = calibrate_noise_multiplier(target, 1e-5, 1.0, 10)
    assert time.process_time() - start < 20
    assert 0.99 * target < gaussian_epsilon(np.sqrt(10) / noise, 1e-5) <= target


def test_hardly_any_noise():
    """Rényi divergence of order 2 of one Gaussian mechanism is 1/σ²."""
    assert epsilon_spent(1e-4, 1e-5, 1.0, 1) == pytest.approx(1e8, rel=1e-6)
