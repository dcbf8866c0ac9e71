"""The numbers of a language model's release card, from what was seen of the run."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import polars as pl

from experiments.framework.results import Entry, Results, entry, summarized
from experiments.jobs.finetune.measure import FineTuned, Plan
from experiments.jobs.finetune.options import MEASURES, Options
from experiments.membership import release
from experiments.membership.policy import Finding, limited
from gujax.attacks.membership import AttackResult, evaluate_attack
from gujax.statistics import Interval, bootstrap_mean, share_interval

MEMBERS, HELD_OUT = "trained on", "held out"
BEFORE, AFTER = "before", "after"

EXTRACTED = ("extracted", "extracted_by_draws")  # of the texts that have an end to be extracted
HAS_END = pl.col("suffix") > 0


def analyze(plan: Plan, tuned: FineTuned) -> Iterator[Entry]:
    """Everything that the card shows.

    Keys: quantile over the texts trained on, texts (trained on or held out), when (before or after
    fine-tuning), attack, end of an interval, epoch, and rule of the policy. Of the whole run: what
    a policy may limit, and how many numbers were trained.
    """
    table = tuned.texts
    members = table.filter("member")
    attacks = _attacks(table, plan.options)
    ended = members.filter(HAS_END)
    measured = limited(members) | {name: float(ended[name].mean()) for name in EXTRACTED}  # type: ignore[arg-type]
    measured["membership_auc"] = max(result.auc.high for result in attacks.values())
    yield entry("trained", tuned.trained)
    yield from release.policy_entries(measured, plan.options.rules)
    yield from release.quantile_entries(members)
    for texts, rows in ((MEMBERS, members), (HELD_OUT, table.filter(~pl.col("member")))):
        yield entry("texts_with_an_end", len(rows.filter(HAS_END)), texts=texts)
        yield from _texts(rows, texts, plan.options.seed)
    for attack, result in attacks.items():
        for measure, interval in (("auc", result.auc), ("tpr_1pct", result.tpr_at_fpr_1pct)):
            for end, value in interval._asdict().items():
                yield entry(f"membership_{measure}", value, attack=attack, end=end)
    yield from release.epoch_entries(tuned.epochs)


def _texts(rows: pl.DataFrame, texts: str, seed: int) -> Iterator[Entry]:
    """Loss and extraction, before and after, with 95 % intervals over the texts."""
    ended = rows.filter(HAS_END)
    measures: dict[str, tuple[pl.DataFrame, Callable[..., Interval], str]]
    measures = {"loss": (rows, partial(bootstrap_mean, seed=seed), "nats")}
    measures |= dict.fromkeys(EXTRACTED, (ended, share_interval, ""))
    for measure, (of, interval_of, unit) in measures.items():
        if of.is_empty():
            continue
        for when, suffix in ((BEFORE, "_before"), (AFTER, "")):
            interval = interval_of(of[measure + suffix].to_numpy())
            for end, value in interval._asdict().items():
                yield entry(f"mean_{measure}", value, unit, texts=texts, when=when, end=end)


def _attacks(table: pl.DataFrame, options: Options) -> dict[str, AttackResult]:
    """Every attack on membership."""
    members = table["member"].to_numpy()[None]
    return {
        name: evaluate_attack(table[f"score_{name}"].to_numpy()[None], members, seed=options.seed)
        for name in options.attacks
    }


def findings(plan: Plan, results: Results) -> list[Finding]:
    """Every rule of the policy with what was measured."""
    return release.findings(plan.options.rules, results, MEASURES)


def headline(results: Results) -> dict[str, Any]:
    """What a policy may limit."""
    return {name: summarized(results.get(name)) for name in MEASURES}


def exit_code(plan: Plan, results: Results) -> int:
    """0, or 3 if the policy is violated."""
    return release.exit_code_of(findings(plan, results))
