"""The relative membership-inference attack."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from gujax.attacks.membership._checks import check_members, check_probabilities
from gujax.attacks.membership._shadows import check_complements, leave_one_out

_CANDIDATES = np.linspace(0, 1, 11)


def rmia(
    confidence: Float[np.ndarray, "models examples"],
    members: Bool[np.ndarray, "models examples"],
    population: Float[np.ndarray, "models population"],
    *,
    mode: Literal["online", "offline"] = "online",
    gamma: float = 1.0,
    offline_a: float | None = 0.3,
    complements: bool = False,
) -> Float[np.ndarray, "models examples"]:
    """Relative membership inference (RMIA; Zarifzadeh et al. 2024, arXiv 2312.03262).

    The score of x is the share of population examples z with LR(x, z) ≥ γ, where

        LR(x, z) = (Pr(x | θ) / Pr(x)) / (Pr(z | θ) / Pr(z)),

    Pr(· | θ) is the target's confidence in the true class and Pr(·) an average over the shadow
    models. Online: Pr(x) is the mean of the averages over shadows trained with x and without x.
    Offline: only those without x are used, corrected by Pr(x) = ½((1 + a) Pr(x)_OUT + 1 − a).
    No shadow is trained on a population example: its Pr(z) is the average over all shadows, with
    the same correction offline.

    Args:
        confidence: probability of the true class, [M, N]; ``exp(log_confidence(...))``.
        members: whether the model was trained on the example, [M, N].
        population: probability of the true class for examples that no model was trained on, such
            as the test split, [M, Z].
        mode: ``"online"`` or ``"offline"``.
        gamma: threshold γ ≥ 1 of the ratio; the paper uses 1 and 2. The larger it is, the more
            scores tie at 0 where models fit members and others alike.
        offline_a: a in [0, 1] of the offline correction. None tunes it as the paper does, by
            attacking reference models with the others: the a of 0, 0.1, … 1 with the highest AUC,
            for each target over all models but the target itself.
        complements: whether models are halves and their complements, so that no target's complement
            is its shadow; see `lira`.

    Returns:
        Scores in [0, 1], multiples of 1/Z, [M, N]. NaN where an example has no shadows on a side
        that is used.

    Raises:
        ValueError: if shapes do not match, there are fewer than 3 models, or an argument is out
            of its range, as log-probabilities are.
    """
    confidence, members = check_members("confidence", confidence, members)
    population = np.asarray(population, np.float64)
    if population.ndim != 2 or len(population) != len(confidence) or population.shape[1] < 1:
        raise ValueError(
            f"population has shape {population.shape}, expected ({len(confidence)}, Z) with Z ≥ 1"
        )
    check_probabilities("confidence", confidence)
    check_probabilities("population", population)
    if mode not in ("online", "offline"):
        raise ValueError(f"mode={mode!r} must be 'online' or 'offline'")
    if not gamma >= 1:
        raise ValueError(f"gamma={gamma} must be at least 1")
    if offline_a is not None and not 0 <= offline_a <= 1:
        raise ValueError(f"offline_a={offline_a} must lie between 0 and 1")

    if complements:
        check_complements(members)
    out_x = leave_one_out(confidence, ~members, complements).mean
    prior_z = leave_one_out(population, np.ones(population.shape, bool), complements).mean
    if mode == "online":
        in_x = leave_one_out(confidence, members, complements).mean
        return _scores(confidence, 0.5 * (out_x + in_x), population, prior_z, gamma)

    def offline(a: float) -> np.ndarray:
        x, z = (0.5 * ((1 + a) * prior + 1 - a) for prior in (out_x, prior_z))
        return _scores(confidence, x, population, z, gamma)

    if offline_a is not None:
        return offline(offline_a)
    candidates = np.stack([offline(a) for a in _CANDIDATES])
    aucs = np.array([[_auc(*pair) for pair in zip(of, members)] for of in candidates])
    # One target's own AUC is what the attacker does not know.
    chosen = (aucs.sum(axis=1, keepdims=True) - aucs).argmax(axis=0)
    return candidates[chosen, np.arange(len(members))]


def _scores(
    x: np.ndarray, prior_x: np.ndarray, z: np.ndarray, prior_z: np.ndarray, gamma: float
) -> Float[np.ndarray, "models examples"]:
    """Share of z that x dominates: LR(x, z) >= gamma is ratio_z <= ratio_x / gamma, a rank."""
    ratio_x = x / np.maximum(prior_x, np.finfo(float).tiny)
    ratio_z = z / np.maximum(prior_z, np.finfo(float).tiny)
    dominated = np.stack(
        [
            np.searchsorted(np.sort(of_target), of_example / gamma, side="right")
            for of_target, of_example in zip(ratio_z, ratio_x)
        ]
    )
    return np.where(np.isnan(prior_x), np.nan, dominated / z.shape[1])


def _auc(scores: Float[np.ndarray, " examples"], members: Bool[np.ndarray, " examples"]) -> float:
    """AUC of one target on the examples that have a score; 0.5 where a side is missing."""
    scored = ~np.isnan(scores)
    ranks, inside = stats.rankdata(scores[scored]), members[scored]
    pairs = inside.sum() * (~inside).sum()
    if not pairs:
        return 0.5
    return float((ranks[inside].sum() - inside.sum() * (inside.sum() + 1) / 2) / pairs)
