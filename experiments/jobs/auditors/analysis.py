"""What every auditor says about ε, from the runs."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.framework.seeds import differences, over_seeds
from experiments.jobs.auditors.bounds import (
    gaussian_epsilon,
    many_run_epsilon,
    one_run_epsilon,
    subsampled_mu,
)
from experiments.jobs.auditors.runs import AuditedRun, Settings
from experiments.membership.attacks import measures
from experiments.membership.defenses import Privacy


class Auditor(NamedTuple):
    """One auditor: its name, what its number bounds, and how many models it trains."""

    name: str
    bounds: str
    models: str


AUDITORS = {
    "accountant": Auditor(
        "accountant",
        "upper bound, proven: every example, every data set, every attacker who sees all updates",
        "none",
    ),
    "gnq_known_batches": Auditor(
        "GNQ, batches known",
        "upper estimate for this run (Gaussian approximation): the most exposed example, an "
        "attacker who sees all updates and knows which batches would hold it",
        "the run itself",
    ),
    "gnq": Auditor(
        "GNQ, most exposed example",
        "upper estimate for this run (Gaussian approximation, central limit theorem): an attacker "
        "who sees all updates but not the batches",
        "the run itself",
    ),
    "gnq_median": Auditor(
        "GNQ, median example",
        "the same for the median example: no bound for the others",
        "the run itself",
    ),
    "lira": Auditor(
        "LiRA on canaries",
        "lower bound at the stated confidence, if trials are independent: an attacker of the final "
        "model",
        "all of them",
    ),
    "one_run": Auditor(
        "one-run audit",
        "lower bound at the stated confidence: an attacker of the final model",
        "one",
    ),
    "one_run_fdp": Auditor(
        "one-run audit, Gaussian",
        "the same, if the mechanism is the Gaussian one",
        "one",
    ),
}
LOWER = ("lira", "one_run", "one_run_fdp")


def audit(
    run: AuditedRun, privacy: Privacy, settings: Settings, guesses: int, significance: float
) -> tuple[dict[str, float], dict[str, float]]:
    """ε of every auditor for one seed, and the seconds that each took.

    The one-run audit is made of each model alone; its mean over models is what one may expect of a
    single run.

    Args:
        run: The runs.
        privacy: What the accountant says.
        settings: What all runs share.
        guesses: How many canaries the one-run audit guesses to be included.
        significance: Probability with which each lower bound may be wrong.
    """
    delta = settings.delta
    epsilons: dict[str, float] = {"accountant": privacy.epsilon}
    seconds: dict[str, float] = {}

    began = time.perf_counter()
    members = run.mu > 0
    amplified = subsampled_mu(run.excess, privacy.sampling_rate, privacy.steps)
    epsilons["gnq_known_batches"] = gaussian_epsilon(float(run.mu.max()), delta)
    epsilons["gnq"] = gaussian_epsilon(float(amplified.max()), delta)
    epsilons["gnq_median"] = gaussian_epsilon(float(np.median(amplified[members])), delta)
    seconds["gnq"] = run.seconds["audit"] / 2 + time.perf_counter() - began

    began = time.perf_counter()
    epsilons["lira"] = many_run_epsilon(run.lira, run.included, delta, significance, seed=0)
    seconds["lira"] = run.seconds["train"] + run.seconds["attack"] + time.perf_counter() - began

    per_model = (run.seconds["train"] + run.seconds["attack"]) / settings.models
    for name, gaussian in (("one_run", False), ("one_run_fdp", True)):
        began = time.perf_counter()
        found = [
            one_run_epsilon(scores, coins, guesses, delta, significance, gaussian=gaussian)
            for scores, coins in zip(run.learned, run.included)
        ]
        epsilons[name] = float(np.mean(found))
        seconds[name] = per_model + (time.perf_counter() - began) / settings.models
    return epsilons, seconds


def summarize(
    runs: Mapping[float, Sequence[AuditedRun]],
    guarantees: Mapping[float, tuple[Privacy, float]],
    settings: Settings,
    guesses: int,
    significance: float,
) -> list[dict[str, Any]]:
    """Everything that the report shows, one entry per target ε, as JSON types.

    Args:
        runs: Target ε to its runs, one per seed.
        guarantees: Target ε to what the accountant says, and the seconds that it took.
        settings: What all runs share.
        guesses: How many canaries the one-run audit guesses to be included.
        significance: Probability with which each lower bound may be wrong.
    """
    return [
        _summarize(target, of_target, *guarantees[target], settings, guesses, significance)
        for target, of_target in runs.items()
    ]


def _summarize(
    target: float,
    runs: Sequence[AuditedRun],
    privacy: Privacy,
    accounting_seconds: float,
    settings: Settings,
    guesses: int,
    significance: float,
) -> dict[str, Any]:
    audits = [audit(run, privacy, settings, guesses, significance) for run in runs]
    epsilons = {name: over_seeds([of_seed[name] for of_seed, _ in audits]) for name in AUDITORS}
    seconds = {
        name: float(np.median([of_seed[name] for _, of_seed in audits])) for name in audits[0][1]
    }
    attacks = [measures(run.lira, run.included) for run in runs]
    worst = subsampled_mu(
        np.expm1(privacy.noise_multiplier**-2.0), privacy.sampling_rate, privacy.steps
    )
    return {
        "target": target,
        "noise_multiplier": privacy.noise_multiplier,
        "sampling_rate": privacy.sampling_rate,
        "steps": privacy.steps,
        "delta": privacy.delta,
        # What the formula behind GNQ's ε says where no other example hides anything.
        "central_limit_worst_case": gaussian_epsilon(float(worst), privacy.delta),
        "epsilons": epsilons,
        "gaps": {
            name: differences(epsilons["accountant"], epsilons[name])
            for name in AUDITORS
            if name != "accountant"
        },
        "gnq_over_lira": differences(epsilons["gnq"], epsilons["lira"]),
        "lira_over_one_run": differences(epsilons["lira"], epsilons["one_run"]),
        "seconds": {"accountant": accounting_seconds, **seconds},
        "canary_auc": over_seeds([of_seed["auc"] for of_seed in attacks]),
        "canary_tpr_at_1pct": over_seeds([of_seed["tpr_at_1pct"] for of_seed in attacks]),
        "test_accuracy": over_seeds([run.test_accuracy for run in runs]),
        "overflow": sum(run.overflow for run in runs),
    }
