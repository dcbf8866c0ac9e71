"""What a release must satisfy, as the user states it: `--policy max_nats=0.5`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from experiments.framework.errors import UserError
from gujax.uniqueness import predicted_auc, predicted_tpr

# What a policy may limit. Of who sees every update: the attack on the most exposed example.
EVERY_UPDATE = (
    "max_nats",
    "p99_nats",
    "mean_nats",
    "max_mu",
    "predicted_auc",
    "predicted_tpr_1pct",
    "predicted_tpr_01pct",
)
# Of who sees the published model: over all examples, upper ends of 95 % intervals; the last is
# that of the most exposed example.
PUBLISHED = (
    "max_predicted_auc",
    "max_predicted_tpr_1pct",
    "max_predicted_tpr_01pct",
    "max_predicted_example_auc",
)
MEASURES = (*EVERY_UPDATE, *PUBLISHED)


@dataclass(frozen=True)
class Rule:
    """One limit: the measure named `name` must not exceed `limit`."""

    name: str
    limit: float

    def __str__(self) -> str:
        return f"{self.name} ≤ {self.limit:g}"


@dataclass(frozen=True)
class Finding:
    """A rule, what was measured, and whether it holds."""

    rule: Rule
    value: float

    @property
    def holds(self) -> bool:
        """Whether the value is within the limit; NaN is not."""
        return self.value <= self.rule.limit

    def __str__(self) -> str:
        outcome = "holds" if self.holds else "is VIOLATED"
        published = self.rule.name in PUBLISHED
        if published and math.isnan(self.value):
            return f"Policy {self.rule} {outcome}: there is no prediction to rely on."
        how = "predicted up to" if published else "measured"
        return f"Policy {self.rule} {outcome}: {how} {self.value:.4g}."


def limited(totals: pl.DataFrame) -> dict[str, float]:
    """What a policy may limit of who sees every update, from nats and mu of the examples."""
    nats, mu = totals["nats"].to_numpy(), totals["mu"].to_numpy()
    worst = float(mu.max())
    values = (
        nats.max(),
        np.quantile(nats, 0.99),
        nats.mean(),
        worst,
        predicted_auc(worst),
        predicted_tpr(worst, 0.01),
        predicted_tpr(worst, 0.001),
    )
    return {name: float(value) for name, value in zip(EVERY_UPDATE, values, strict=True)}


def parse_policy(texts: Sequence[str], measures: Sequence[str] = MEASURES) -> tuple[Rule, ...]:
    """Rules from `name=limit` texts, several of which may be joined by commas.

    Raises:
        UserError: A text is no rule, or its name is none of `measures`.
    """
    rules = []
    for text in (part.strip() for joined in texts for part in joined.split(",")):
        name, _, limit = text.partition("=")
        if name not in measures:
            raise UserError(f"--policy {text}: unknown measure; choose from {', '.join(measures)}")
        try:
            rules.append(Rule(name, float(limit)))
        except ValueError as error:
            raise UserError(f"--policy {text}: write it as {name}=NUMBER") from error
    return tuple(rules)


def check_policy(rules: Sequence[Rule], measured: Mapping[str, float]) -> list[Finding]:
    """Every rule with what was measured."""
    return [Finding(rule, measured[rule.name]) for rule in rules]


def decide(findings: Sequence[Finding]) -> tuple[str, str]:
    """What follows from the findings: a sentence, and "good", "bad" or "neutral"."""
    if not findings:
        return "No policy was given: this card reports, and does not decide.", "neutral"
    violated = [finding.rule.name for finding in findings if not finding.holds]
    if violated:
        return f"Do not release: the policy is violated ({', '.join(violated)}).", "bad"
    return "The policy holds: the model may be released under the assumptions below.", "good"
