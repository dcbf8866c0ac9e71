"""(ε, δ) of DP-SGD with Poisson sampling, by the accountants of jax-privacy and dp-accounting.

The guarantee is for adding or removing one example, with batches that contain every example
independently with probability `sampling_rate`. Shuffled batches do not have it (Chua et al. 2024,
arXiv 2403.17673), nor do Poisson batches cut to a fixed size.
"""

import dp_accounting
from jax_privacy.accounting import PldAccountantConfig

from gujax.validation import check_nonnegative, check_positive, check_probability

# The search evaluates ε a dozen times. A coarser grid of privacy losses than the default 1e-4
# makes it three times faster and errs on the safe side, by well under 1 % of ε.
_SEARCH_INTERVAL = 3e-4


def epsilon_spent(
    noise_multiplier: float, delta: float, sampling_rate: float, num_steps: int
) -> float:
    """ε spent by DP-SGD, from the privacy-loss distribution of the composed mechanism.

    Args:
        noise_multiplier: noise standard deviation over the clip norm; 0 gives inf.
        delta: δ in (0, 1).
        sampling_rate: q in (0, 1], probability that an example is in a batch.
        num_steps: number of steps; 0 gives 0.

    Returns:
        ε of (ε, δ)-differential privacy.

    Raises:
        ValueError: if an argument is out of its range.
    """
    _check(delta, sampling_rate)
    check_nonnegative("noise_multiplier", noise_multiplier)
    check_nonnegative("num_steps", num_steps)
    if num_steps == 0:
        return 0.0
    if noise_multiplier == 0:
        return float("inf")
    accountant = PldAccountantConfig().create_accountant()
    accountant.compose(_dp_sgd_event(noise_multiplier, sampling_rate, num_steps))
    return accountant.get_epsilon(delta)


def calibrate_noise_multiplier(
    epsilon: float, delta: float, sampling_rate: float, num_steps: int
) -> float:
    """Smallest noise multiplier, to about 1 %, with which DP-SGD spends at most ε.

    Args:
        epsilon: target ε, positive.
        delta: δ in (0, 1).
        sampling_rate: q in (0, 1], probability that an example is in a batch.
        num_steps: number of steps, positive.

    Returns:
        The noise multiplier: noise standard deviation over the clip norm.

    Raises:
        ValueError: if an argument is out of its range.
    """
    _check(delta, sampling_rate)
    check_positive("epsilon", epsilon)
    check_positive("num_steps", num_steps)
    return dp_accounting.calibrate_dp_mechanism(
        PldAccountantConfig(value_discretization_interval=_SEARCH_INTERVAL).create_accountant,
        lambda noise: _dp_sgd_event(noise, sampling_rate, num_steps),
        epsilon,
        delta,
        dp_accounting.LowerEndpointAndGuess(0.0, 1.0),
        tol=1e-3,
    )


def _check(delta: float, sampling_rate: float) -> None:
    check_probability("delta", delta)
    check_probability("sampling_rate", sampling_rate, open=False)
    check_positive("sampling_rate", sampling_rate)


def _dp_sgd_event(
    noise_multiplier: float, sampling_rate: float, num_steps: int
) -> dp_accounting.DpEvent:
    step = dp_accounting.PoissonSampledDpEvent(
        sampling_rate, dp_accounting.GaussianDpEvent(noise_multiplier)
    )
    return dp_accounting.SelfComposedDpEvent(step, num_steps)
