"""The numbers of a release card, from what was seen of the run."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.framework.results import Entry, Results, entry, summarized
from experiments.jobs.audit.measure import Audited, Plan
from experiments.jobs.audit.published import ATTACK
from experiments.membership import release
from experiments.membership.policy import MEASURES, Finding, limited
from gujax.prediction import predict_attack
from gujax.uniqueness import predicted_auc, predicted_tpr

EVERY_UPDATE_SEEN, MODEL_SEEN = "sees every update", "sees the published model"


def analyze(plan: Plan, audited: Audited) -> Iterator[Entry]:
    """Everything that the card shows.

    Keys: quantile over the training examples, label (name of a class), epoch, step (plain or
    audited), rule of the policy, attacker, and end of an interval. Of the whole run: what a policy
    may limit, and test accuracy.
    """
    yield entry("test_accuracy", audited.epochs["test_accuracy"][-1])
    measured = limited(audited.totals) | audited.published.limited
    yield from release.policy_entries(measured, plan.options.rules)
    yield from _attacks(audited)
    nats, mu = (audited.totals[name].to_numpy() for name in ("nats", "mu"))
    by_attacker = {
        EVERY_UPDATE_SEEN: np.asarray(predicted_auc(mu)),
        MODEL_SEEN: audited.totals["predicted_auc"].to_numpy(),
    }
    yield from release.quantile_entries(audited.totals)
    for quantile in release.QUANTILES:
        tpr = predicted_tpr(float(np.quantile(mu, quantile)), 0.01)
        yield entry("predicted_tpr_1pct", tpr, quantile=quantile)
    for label, name in enumerate(plan.task.class_names):
        of_class = audited.totals["label"].to_numpy() == label
        if of_class.any():
            yield entry("examples", of_class.sum(), label=name)
            for measure, values, unit in (("nats", nats, "nats"), ("mu", mu, "")):
                yield entry(f"median_{measure}", np.median(values[of_class]), unit, label=name)
                yield entry(f"max_{measure}", values[of_class].max(), unit, label=name)
            for attacker, auc in by_attacker.items():
                yield entry("mean_auc", auc[of_class].mean(), label=name, attacker=attacker)
                yield entry("max_auc", auc[of_class].max(), label=name, attacker=attacker)
    yield from release.epoch_entries(audited.epochs)
    for step, cost in audited.cost.items():
        yield entry("milliseconds", cost.milliseconds, "ms", step=step)
        yield entry("relative", cost.relative, step=step)
        if cost.memory_mib is not None:
            yield entry("memory", cost.memory_mib, "MiB", step=step)
    share = 1 + (audited.cost["audited"].relative - 1) / plan.options.audit_every
    yield entry("run_over_plain", share)


def _attacks(audited: Audited) -> Iterator[Entry]:
    """AUC and TPR over all examples, and AUC against the most exposed one, of both attackers."""
    seen = predict_attack(audited.totals["mu"].to_numpy(), 1.0)
    most = float(seen.example_auc.max())
    values = seen.auc, *seen.tpr(np.array([0.01, 0.001])).tolist(), most
    for measure, value in zip(ATTACK, values, strict=True):
        yield entry(measure, value, attacker=EVERY_UPDATE_SEEN, end="mean")
    for measure, interval in audited.published.measures.items():
        for end, value in interval._asdict().items():
            yield entry(measure, value, attacker=MODEL_SEEN, end=end)


def findings(plan: Plan, results: Results) -> list[Finding]:
    """Every rule of the policy with what was measured."""
    return release.findings(plan.options.rules, results, MEASURES)


def headline(results: Results) -> dict[str, Any]:
    """Test accuracy, and what a policy may limit."""
    return {name: summarized(results.get(name)) for name in ("test_accuracy", *MEASURES)}


def exit_code(plan: Plan, results: Results) -> int:
    """0, or 3 if the policy is violated."""
    return release.exit_code_of(findings(plan, results))
