"""What the best membership attack achieves at a given Gaussian-DP parameter mu.

These are predictions of the Gaussian approximation (see ``disclosure``), to be compared with
measured attacks. NaN stays NaN.
"""

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf, log_ndtr, ndtr, ndtri
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from gujax.validation import as_float, check_nonnegative, check_probability


def predicted_auc(mu: ArrayLike) -> Float[Array, "..."]:
    """Area under the ROC curve of the optimal membership attack, Phi(mu / sqrt(2)).

    Args:
        mu: Gaussian-DP parameter, >= 0, any shape.

    Returns:
        AUC in [1/2, 1].
    """
    return ndtr(as_float(mu) / np.sqrt(2.0))


def predicted_tpr(mu: ArrayLike, fpr: ArrayLike) -> Float[Array, "..."]:
    """True positive rate of the optimal attack at a false positive rate, Phi(Phi^-1(fpr) + mu).

    Args:
        mu: Gaussian-DP parameter, >= 0; inf separates perfectly, at ``fpr`` 0 too.
        fpr: false positive rate in [0, 1]; broadcasts against ``mu``.

    Returns:
        TPR in [0, 1].

    Raises:
        ValueError: if ``fpr`` is outside [0, 1].
    """
    check_probability("fpr", fpr, open=False)
    mu = as_float(mu)
    separable = jnp.isinf(mu)
    finite = ndtr(ndtri(jnp.asarray(fpr, mu.dtype)) + jnp.where(separable, 0, mu))
    return jnp.where(separable, 1, finite)


def predicted_advantage(mu: ArrayLike) -> Float[Array, "..."]:
    """Largest TPR - FPR of any attack, 2 Phi(mu / 2) - 1.

    Args:
        mu: Gaussian-DP parameter, >= 0, any shape.

    Returns:
        The advantage in [0, 1].
    """
    return erf(as_float(mu) / np.sqrt(8.0))  # the same number without the cancellation at small mu


def gdp_delta(mu: ArrayLike, epsilon: ArrayLike) -> Float[Array, "..."]:
    """Smallest delta for which mu-GDP implies (epsilon, delta)-DP.

    Args:
        mu: Gaussian-DP parameter, >= 0, any shape.
        epsilon: >= 0; broadcasts against ``mu``.

    Returns:
        delta = Phi(mu/2 - epsilon/mu) - exp(epsilon) Phi(-mu/2 - epsilon/mu), in [0, 1].

    Raises:
        ValueError: if ``epsilon`` is negative.

    Source: Dong, Roth, Su 2022, Corollary 2.13 of arXiv 1905.02383.
    """
    check_nonnegative("epsilon", epsilon)
    mu = as_float(mu)
    epsilon = jnp.asarray(epsilon, mu.dtype)
    regular = jnp.isnan(mu) | ((mu > 0) & jnp.isfinite(mu))
    safe_mu = jnp.where(regular, mu, 1)
    log_in = log_ndtr(safe_mu / 2 - epsilon / safe_mu)
    log_out = epsilon + log_ndtr(-safe_mu / 2 - epsilon / safe_mu)
    delta = -jnp.exp(log_in) * jnp.expm1(jnp.minimum(log_out - log_in, 0))
    return jnp.where(regular, delta, jnp.where(mu > 0, 1, 0))
