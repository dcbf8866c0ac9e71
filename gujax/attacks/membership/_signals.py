"""What an attacker reads off a model's output for one example."""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_softmax, logsumexp

from gujax.data import class_labels


def log_confidence(
    logits: Float[np.ndarray, "*models examples classes"], y: Int[np.ndarray, " examples"]
) -> Float[np.ndarray, "*models examples"]:
    """Logarithm of the probability that the model gives to the true class.

    Args:
        logits: [..., N, classes].
        y: labels, whole numbers from 0 on, [N].

    Returns:
        log p_y, [..., N], float64, in nats; at most 0.

    Raises:
        ValueError: if ``logits`` are not of two classes or more, or ``y`` has not one of them for
            each example.
    """
    logits, y = _checked(logits, y)
    return _true_class(log_softmax(logits, axis=-1), y)


def scaled_confidence(
    logits: Float[np.ndarray, "*models examples classes"], y: Int[np.ndarray, " examples"]
) -> Float[np.ndarray, "*models examples"]:
    """Logit-scaled confidence in the true class, log(p_y / (1 − p_y)).

    Computed as z_y − logsumexp of the other logits, which stays finite where p_y rounds to 1. Over
    shadow models it is close to Gaussian (Carlini et al. 2022, arXiv 2112.03570, section V).

    Args:
        logits: [..., N, classes].
        y: labels, whole numbers from 0 on, [N].

    Returns:
        The signal φ, [..., N], float64.

    Raises:
        ValueError: as `log_confidence`.
    """
    logits, y = _checked(logits, y)
    is_true = np.arange(logits.shape[-1]) == y[:, None]
    others = logsumexp(np.where(is_true, -np.inf, logits), axis=-1)
    return _true_class(logits, y) - others


def loss_threshold(
    logits: Float[np.ndarray, "*models examples classes"], y: Int[np.ndarray, " examples"]
) -> Float[np.ndarray, "*models examples"]:
    """Score of the loss-threshold attack: a member has a small cross-entropy.

    One threshold for all examples, no shadow models (Yeom et al. 2018, arXiv 1709.01604).

    Args:
        logits: [..., N, classes].
        y: labels, whole numbers from 0 on, [N].

    Returns:
        Minus the cross-entropy, [..., N], in nats. It is taken as −log1p(exp(−φ)) of the scaled
        confidence φ, so that confident predictions keep their order.

    Raises:
        ValueError: as `log_confidence`.
    """
    return -np.logaddexp(0.0, -scaled_confidence(logits, y))


def _checked(logits: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits in float64 and labels as integers."""
    logits = np.asarray(logits, np.float64)
    if logits.ndim < 2 or logits.shape[-1] < 2:
        raise ValueError(
            f"logits has shape {logits.shape}, needed are two classes or more, (..., examples, "
            "classes); for one logit z per example, use np.stack([np.zeros_like(z), z], axis=-1)"
        )
    return logits, class_labels("y", y, logits.shape[-2], logits.shape[-1])


def _true_class(values: np.ndarray, y: np.ndarray) -> np.ndarray:
    return values[..., np.arange(len(y)), y]
