"""What a release must satisfy, as the user states it: `--policy max_nats=0.5`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.framework.errors import UserError


@dataclass(frozen=True)
class Rule:
    """One limit: the measure named `name` must not exceed `limit`."""

    name: str
    limit: float


@dataclass(frozen=True)
class Finding:
    """A rule, what was measured, and whether it holds."""

    rule: Rule
    value: float

    @property
    def holds(self) -> bool:
        """Whether the value is within the limit; NaN is not."""
        return self.value <= self.rule.limit


def parse_policy(texts: Sequence[str], measures: Sequence[str]) -> tuple[Rule, ...]:
    """Rules from `name=limit` texts, several of which may be joined by commas.

    Args:
        texts: What the user gave.
        measures: Names that a rule may use.

    Raises:
        UserError: A text is no rule, or its name is unknown.
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
