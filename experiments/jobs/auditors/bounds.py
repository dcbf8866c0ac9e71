"""What each auditor says about ε, from scores of canaries or from uniqueness."""

import numpy as np
from jax_privacy.auditing import CanaryScoreAuditor, Explicit, Split
from jaxtyping import Bool, Float
from scipy import optimize

from gujax.uniqueness import gdp_delta


def one_run_epsilon(
    scores: Float[np.ndarray, " canaries"],
    included: Bool[np.ndarray, " canaries"],
    guesses: int,
    delta: float,
    significance: float,
    *,
    gaussian: bool = False,
) -> float:
    """Lower bound of ε from one model, whose canaries were included by independent fair coins.

    The auditor guesses "included" for a number of canaries that was fixed beforehand, those of
    highest score; which they are does not depend on the coins but through the scores, so that the
    bound needs no correction for a choice of threshold.

    Args:
        scores: Higher means included.
        significance: Probability that the bound is wrong.
        gaussian: Against the trade-off curve of the Gaussian mechanism with this (ε, δ)
            (Mahloujifar et al. 2024, arXiv 2410.22235), not against every (ε, δ) mechanism.

    Source: Steinke, Nasr, Jagielski 2023, arXiv 2305.08846, with k₋ = 0.
    """
    auditor = CanaryScoreAuditor(scores[included], scores[~included])
    threshold = np.sort(scores)[len(scores) - guesses]
    audit = auditor.epsilon_one_run_fdp if gaussian else auditor.epsilon_one_run
    return float(audit(significance, delta, threshold_strategy=Explicit(float(threshold))))


def many_run_epsilon(
    scores: Float[np.ndarray, "models canaries"],
    included: Bool[np.ndarray, "models canaries"],
    delta: float,
    significance: float,
    seed: int,
) -> float:
    """Lower bound of ε from Clopper-Pearson bounds of an attack's error rates over many models.

    The threshold is chosen on one half of the scores, the bound computed on the other; the seed is
    of the split. Scores are higher for members, and taken as independent trials, as is usual;
    canaries that share a model are not quite.

    Source: Jagielski, Ullman, Oprea 2020; threshold by a split as in arXiv 2101.04535.
    """
    auditor = CanaryScoreAuditor(scores[included], scores[~included])
    return float(
        auditor.epsilon_clopper_pearson(
            significance, delta, one_sided=False, threshold_strategy=Split(0.5, seed)
        )
    )


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The smallest ε with which μ-GDP implies (ε, δ)-differential privacy.

    Source: Dong, Roth, Su 2022, Corollary 2.13 of arXiv 1905.02383.
    """

    def excess(epsilon: float) -> float:
        return float(np.log(np.maximum(float(gdp_delta(mu, epsilon)), 1e-37)) - np.log(delta))

    if mu == 0 or excess(0.0) <= 0:
        return 0.0
    # δ(ε) falls below Φ(μ/2 − ε/μ), and so below any δ of interest, well before this.
    return float(optimize.brentq(excess, 0.0, mu**2 / 2 + 13 * mu))


def subsampled_mu(
    excess: Float[np.ndarray, "..."], sampling_rate: float, num_steps: int
) -> Float[np.ndarray, "..."]:
    """μ of Poisson-subsampled Gaussian steps by the central limit theorem.

    A step whose sum holds an example with probability q, where presence is worth μ_t, is worth
    q √(exp(μ_t²) − 1); over steps these add up as squares.

    Args:
        excess: Mean of exp(μ_t²) − 1 over the steps. Over those that held the example, it stands
            for all: who is in a batch is independent of what its presence would be worth.
        sampling_rate: q.
        num_steps: T.

    Source: Bu, Dong, Long, Su 2020, arXiv 1911.11607.
    """
    return sampling_rate * np.sqrt(num_steps * excess)
