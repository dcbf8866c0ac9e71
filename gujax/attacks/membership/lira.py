"""The likelihood-ratio attack."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import norm

from gujax.attacks.membership.checks import check_members
from gujax.attacks.membership.shadows import ShadowStatistics, leave_one_out, pooled_variance

# Keeps a likelihood finite where all shadow models agree to the last digit.
_SMALLEST_DEVIATION = 1e-12


def lira(
    phi: Float[np.ndarray, "models examples *augmentations"],
    members: Bool[np.ndarray, "models examples"],
    *,
    mode: Literal["online", "offline"] = "online",
    variance: Literal["global", "per_example"] = "global",
) -> Float[np.ndarray, "models examples"]:
    """Likelihood-ratio attack (LiRA; Carlini et al. 2022, arXiv 2112.03570, algorithm 1).

    For each target and example, a Gaussian is fitted to the signal φ of the shadow models trained
    with the example, another to that of those trained without. Online: the score is the log of
    the likelihood ratio of the target's φ. Offline: only the second Gaussian is used, one-sided;
    the score is (φ − mean)/deviation, which orders examples as the paper's 1 − Pr[Z > φ] does.

    Where an example is queried under K augmentations, their φ are taken as independent, and
    log-likelihoods (offline: standardized φ) are averaged.

    With few models and exact halves, a member has one shadow fewer on its own side than a
    non-member has, so its mean is estimated worse and the attack is biased downwards; from 16
    models on the effect is below 0.01 of AUC.

    Args:
        phi: signal of each model on each example, [M, N] or [M, N, K]; `scaled_confidence`.
        members: whether the model was trained on the example, [M, N].
        mode: ``"online"`` or ``"offline"``.
        variance: ``"per_example"`` estimates variances for each example alone (the paper's choice
            from about 64 shadow models on); ``"global"`` one pair of variances for all examples
            of a target, pooled within examples. (The paper's published code takes the deviation of
            all φ together, in which the differences between examples are counted as noise.)

    Returns:
        Scores, [M, N], higher meaning "member". NaN where an example has too few shadows: none on
        a side that is used, or only one for a variance of its own.

    Raises:
        ValueError: if shapes do not match, there are fewer than 3 models, or φ is not finite.
    """
    phi, members = check_members("phi", phi, members)
    if mode not in ("online", "offline"):
        raise ValueError(f"mode={mode!r} must be 'online' or 'offline'")
    if variance not in ("global", "per_example"):
        raise ValueError(f"variance={variance!r} must be 'global' or 'per_example'")

    def gaussian(selected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        statistics: ShadowStatistics = leave_one_out(phi, selected)
        spread = pooled_variance(statistics) if variance == "global" else statistics.variance
        return statistics.mean, np.maximum(np.sqrt(spread), _SMALLEST_DEVIATION)

    out_mean, out_deviation = gaussian(~members)
    if mode == "offline":
        scores = (phi - out_mean) / out_deviation
    else:
        in_mean, in_deviation = gaussian(members)
        scores = norm.logpdf(phi, in_mean, in_deviation) - norm.logpdf(phi, out_mean, out_deviation)
    return scores.reshape(*members.shape, -1).mean(axis=-1)
