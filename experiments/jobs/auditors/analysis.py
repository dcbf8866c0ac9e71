"""What every auditor says about ε, from the runs."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.framework.results import Entry, entry
from experiments.jobs.auditors.bounds import (
    gaussian_epsilon,
    many_run_epsilon,
    one_run_epsilon,
    subsampled_mu,
)
from experiments.jobs.auditors.measure import Audited, Plan
from experiments.jobs.auditors.options import Options
from experiments.jobs.auditors.runs import AuditedRun
from experiments.membership.attacks import measures


class Said(NamedTuple):
    """What an auditor says about one seed: its ε, and the seconds that it took."""

    epsilon: float
    seconds: float


def audit(run: AuditedRun, of_target: Audited, options: Options) -> dict[str, Said]:
    """ε of every auditor for one seed.

    The one-run audit is made of each model alone; its mean over models is what one may expect of a
    single run.
    """
    privacy, delta, num_models = of_target.privacy, options.delta, len(run.included)
    said = {"accountant": Said(privacy.epsilon, of_target.seconds)}

    began = time.perf_counter()
    amplified = subsampled_mu(run.excess, privacy.sampling_rate, privacy.steps)
    mu = {
        "gnq_known_batches": run.mu.max(),
        "gnq": amplified.max(),
        "gnq_median": np.median(amplified[run.mu > 0]),
    }
    found = {name: gaussian_epsilon(float(value), delta) for name, value in mu.items()}
    seconds = run.seconds.audit / 2 + time.perf_counter() - began
    said |= {name: Said(epsilon, seconds) for name, epsilon in found.items()}

    began = time.perf_counter()
    bound = many_run_epsilon(run.lira, run.included, delta, options.significance, seed=0)
    attacked = run.seconds.train + run.seconds.attack
    said["lira"] = Said(bound, attacked + time.perf_counter() - began)

    for name, gaussian in (("one_run", False), ("one_run_fdp", True)):
        began = time.perf_counter()
        bounds = [
            one_run_epsilon(
                scores, coins, options.guesses, delta, options.significance, gaussian=gaussian
            )
            for scores, coins in zip(run.learned, run.included)
        ]
        seconds = (attacked + time.perf_counter() - began) / num_models
        said[name] = Said(float(np.mean(bounds)), seconds)
    return said


def analyze(plan: Plan, audited: Mapping[float, Audited]) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: target, the ε that noise was chosen for; and auditor. "formula" is what the formula behind
    GNQ's ε says where no other example hides anything.
    """
    for target, of_target in audited.items():
        privacy, runs = of_target.privacy, of_target.runs
        by_seed = [audit(run, of_target, plan.options) for run in runs]
        said = {name: np.array([of_seed[name] for of_seed in by_seed]).T for name in by_seed[0]}
        for name, (epsilon, seconds) in said.items():
            yield entry("epsilon", epsilon, target=target, auditor=name)
            if name != "accountant":
                gap = said["accountant"][0] - epsilon
                yield entry("below_accountant", gap, target=target, auditor=name)
            yield entry("seconds", np.median(seconds), "s", target=target, auditor=name)
        worst = subsampled_mu(
            np.expm1(privacy.noise_multiplier**-2.0), privacy.sampling_rate, privacy.steps
        )
        formula = gaussian_epsilon(float(worst), privacy.delta)
        yield entry("epsilon", formula, target=target, auditor="formula")
        attacks = [measures(run.lira, run.included) for run in runs]
        of_runs: dict[str, Any] = {
            "noise_multiplier": privacy.noise_multiplier,
            "sampling_rate": privacy.sampling_rate,
            "steps": privacy.steps,
            "test_accuracy": [run.test_accuracy for run in runs],
            "canary_auc": [attack["auc"] for attack in attacks],
            "canary_tpr_at_1pct": [attack["tpr_at_1pct"] for attack in attacks],
            "overflow": sum(run.overflow for run in runs),
        }
        for measure, value in of_runs.items():
            yield entry(measure, value, target=target)
