"""(ε, δ) of DP-SGD with Poisson sampling, by the accountants of jax-privacy and dp-accounting.

The guarantee is for adding or removing one example, with batches that contain every example
independently with probability `sampling_rate`. Shuffled batches do not have it (Chua et al. 2024,
arXiv 2403.17673), nor do Poisson batches cut to a fixed size.
"""

import operator
from collections.abc import Callable
from typing import Any

import dp_accounting
from jax_privacy.accounting import PldAccountantConfig

from gujax.validation import check_nonnegative, check_positive, check_probability

# Width of the grid of privacy losses, the default of both accountants. It is 1e-5 of ε where ε is
# above 10: the grid's length, and with it the time, would otherwise grow with ε.
_INTERVAL = 1e-4
_COARSER_ABOVE = 10.0
_MEANINGLESS = 1e6  # an ε above which a coarse bound says as much, and exp of a grid's width is inf
# At integer orders Rényi divergences are sums that always converge.
_ORDERS = (2, 3, 4, 6, 8, 12, 16, 32, 64, 128)

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
        ε of (ε, δ)-differential privacy; above a million, an upper bound by Rényi divergences.

    Raises:
        ValueError: if an argument is out of its range.
    """
    noise_multiplier, delta, sampling_rate = map(float, (noise_multiplier, delta, sampling_rate))
    num_steps = _whole("num_steps", num_steps)
    _check(delta, sampling_rate)
    check_nonnegative("noise_multiplier", noise_multiplier)
    check_nonnegative("num_steps", num_steps)
    if num_steps == 0:
        return 0.0
    if noise_multiplier == 0:
        return float("inf")
    event = _dp_sgd_event(noise_multiplier, sampling_rate, num_steps)
    renyi = dp_accounting.rdp.RdpAccountant(_ORDERS)
    renyi.compose(event)
    bound = renyi.get_epsilon(delta)
    if bound > _MEANINGLESS:
        return bound
    interval = _INTERVAL * max(1.0, bound / _COARSER_ABOVE)
    accountant = PldAccountantConfig(value_discretization_interval=interval).create_accountant()
    accountant.compose(event)
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
    epsilon, delta, sampling_rate = map(float, (epsilon, delta, sampling_rate))
    num_steps = _whole("num_steps", num_steps)
    _check(delta, sampling_rate)
    check_positive("epsilon", epsilon)
    check_positive("num_steps", num_steps)

    def event(noise: float) -> dp_accounting.DpEvent:
        return _dp_sgd_event(noise, sampling_rate, num_steps)

    def calibrate(accountant: Callable[[], Any], bracket: Any, tolerance: float) -> float:
        return dp_accounting.calibrate_dp_mechanism(
            accountant, event, epsilon, delta, bracket, tol=tolerance
        )

    # Rényi divergences take no time and ask for somewhat more noise than is needed: the search on
    # the grid starts near its end, and never comes to noise so small that the grid is long.
    from_zero = dp_accounting.LowerEndpointAndGuess(0.0, 1.0)
    enough = 1.05 * calibrate(lambda: dp_accounting.rdp.RdpAccountant(_ORDERS), from_zero, 1e-4)
    interval = _SEARCH_INTERVAL * max(1.0, epsilon / _COARSER_ABOVE)
    grid = PldAccountantConfig(value_discretization_interval=interval).create_accountant
    too_little = enough / 2
    while grid().compose(event(too_little)).get_epsilon(delta) <= epsilon:
        enough, too_little = too_little, too_little / 2
    bracket = dp_accounting.ExplicitBracketInterval(too_little, enough)
    return calibrate(grid, bracket, 1e-3 * enough)


def _whole(name: str, value: Any) -> int:
    """A number of steps, of whatever type, as the accountants want it."""
    try:
        return operator.index(value)
    except TypeError:
        if int(value) == value:
            return int(value)
        raise ValueError(f"{name}={value} must be a whole number") from None


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
