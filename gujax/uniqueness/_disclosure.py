"""What a gradient uniqueness discloses about membership: nats, and the Gaussian-DP parameter.

All of it holds under the Gaussian approximation: a step releases U = sum_k b_k g_k + z with
independent b_k ~ Bernoulli(p) and z ~ N(0, sigma^2 I), and for example j the sum of the others is
taken to be Gaussian with covariance p (1 - p) S_j. GNQ must carry the ridge that belongs to the
noise, :func:`gujax.uniqueness.noise_ridge`. NaN stays NaN.
"""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from gujax.validation import as_float, check_probability

_SMALL_SNR = 0.04  # below it the series of binary_information has a relative error below 1e-6
_LARGE_SNR = 256.0  # above it H(p) - I is below exp(-256 / 8) = 1e-14

# Trapezoidal rule for E[f(Z)], Z ~ N(0, 1): it converges geometrically for an analytic f.
_NODES = np.arange(-8.0, 8.001, 0.25)
_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.exp(-(_NODES**2) / 2).sum()


def disclosure_bound(gnq: ArrayLike, inclusion_probability: ArrayLike = 0.5) -> Float[Array, "..."]:
    """Upper bound of I(b_j; U), what a step tells about an example's membership.

    Args:
        gnq: gradient uniqueness, >= 0, any shape.
        inclusion_probability: p in (0, 1).

    Returns:
        min(log(1 + GNQ) / 2, H(p)) in nats: the capacity of a Gaussian channel, or the entropy of
        the membership bit.

    Raises:
        ValueError: if ``inclusion_probability`` is outside (0, 1).

    Source: arXiv 2510.10902.
    """
    gnq, p = _float_arguments(gnq, inclusion_probability)
    entropy = -p * jnp.log(p) - (1 - p) * jnp.log1p(-p)
    return jnp.minimum(jnp.log1p(gnq) / 2, entropy)


def binary_information(
    gnq: ArrayLike, inclusion_probability: ArrayLike = 0.5
) -> Float[Array, "..."]:
    """I(b_j; U) itself: a Bernoulli(p) input over a unit Gaussian channel of separation mu_j.

    A series in mu^2 for small mu, where quadrature would cancel (Guo, Wu, Shamai, Verdu 2011,
    "Estimation in Gaussian noise: properties of the MMSE"; integrated by I-MMSE), and quadrature
    above. Never above :func:`disclosure_bound`.

    Args:
        gnq: gradient uniqueness, >= 0, any shape.
        inclusion_probability: p in (0, 1).

    Returns:
        The mutual information in nats.

    Raises:
        ValueError: if ``inclusion_probability`` is outside (0, 1).
    """
    gnq, p = _float_arguments(gnq, inclusion_probability)
    snr = gnq / (p * (1 - p))
    small = snr < _SMALL_SNR
    series = _information_series(jnp.where(small, snr, 0), p)
    # NaN is not small: it passes through the quadrature.
    mu = jnp.sqrt(jnp.minimum(jnp.where(small, 1, snr), _LARGE_SNR))
    quadrature = (1 - p) * _divergence_from_mixture(mu, 1 - p, p)
    quadrature += p * _divergence_from_mixture(mu, p, 1 - p)
    return jnp.minimum(jnp.where(small, series, quadrature), disclosure_bound(gnq, p))


def membership_mu(gnq: ArrayLike, inclusion_probability: ArrayLike = 0.5) -> Float[Array, "..."]:
    """Gaussian-DP parameter of an example's membership, mu_j = sqrt(GNQ_j / (p (1 - p))).

    Args:
        gnq: gradient uniqueness, >= 0, any shape.
        inclusion_probability: p in (0, 1).

    Returns:
        mu: how many standard deviations of the attacker's best statistic "in" lies above "out".

    Raises:
        ValueError: if ``inclusion_probability`` is outside (0, 1).

    Source: Dong, Roth, Su 2022, "Gaussian differential privacy".
    """
    gnq, p = _float_arguments(gnq, inclusion_probability)
    return jnp.sqrt(gnq / (p * (1 - p)))


def _float_arguments(gnq, inclusion_probability):
    check_probability("inclusion_probability", inclusion_probability)
    gnq = as_float(gnq)
    return gnq, jnp.asarray(inclusion_probability, gnq.dtype)


def _information_series(snr, p):
    """I up to the fourth order of the squared separation, for a Bernoulli(p) input.

    The MMSE's series for variance v, squared skewness (1 - 4 v) / v and kurtosis (1 - 3 v) / v,
    multiplied out.
    """
    v = p * (1 - p)
    cubic = (6 * v - 1) / 6
    quartic = -(1 - 24 * v + 90 * v**2) / 24
    return 0.5 * v * snr * (1 + v * snr * (-1 / 2 + snr * (cubic + snr * quartic)))


def _divergence_from_mixture(mu, here, there):
    """KL(N(0, 1) || here N(0, 1) + there N(mu, 1)), where here + there = 1."""
    mu, here, there = jnp.broadcast_arrays(mu, here, there)
    last = (1,) * mu.ndim + (-1,)
    nodes, weights = (jnp.asarray(x, mu.dtype).reshape(last) for x in (_NODES, _WEIGHTS))
    mu, here, there = mu[..., None], here[..., None], there[..., None]
    log_ratio = mu * nodes - mu**2 / 2  # at most 32, where nodes = mu = 8: no overflow
    excess = there * jnp.expm1(log_ratio)
    log_mixture = jnp.where(
        excess > -0.5,
        jnp.log1p(excess),
        jnp.log(here + there * jnp.exp(log_ratio)),  # 1 + excess would lose a small `here`
    )
    return -jnp.sum(weights * log_mixture, axis=-1)
