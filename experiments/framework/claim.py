"""A claim of the literature, held against what a run measured."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from experiments.framework.run_directory import RunDirectory
from gujax.statistics import Interval

Verdict = Literal["reproduced", "partly reproduced", "not reproduced", "not tested at this scale"]

CLAIMS_FILE = "claims.json"


@dataclass(frozen=True)
class Claim:
    """One row of the table of claims.

    Attributes:
        key: Its name, the same in every run that tests it.
        statement: What is claimed, in one sentence.
        source: Paper and section.
        measured: What the run measured, with intervals; made from its numbers.
        verdict: What follows, by a rule that was fixed before the run.
    """

    key: str
    statement: str
    source: str
    measured: str
    verdict: Verdict


def verdict(effects: Sequence[Interval]) -> Verdict:
    """Verdict on a claim that every effect is positive.

    Args:
        effects: Mean over seeds and interval of each effect, positive where the claim holds.

    Returns:
        "reproduced" if every interval lies above 0, "partly reproduced" if some do and none lies
        below 0, else "not reproduced". Without an interval, as for a single seed, nothing is
        claimed to be tested.
    """
    known = [effect for effect in effects if effect.low == effect.low]
    if len(known) < len(effects) or not effects:
        return "not tested at this scale"
    above = [effect.low > 0 for effect in effects]
    if all(above):
        return "reproduced"
    if any(above) and not any(effect.high < 0 for effect in effects):
        return "partly reproduced"
    return "not reproduced"


def write_claims(directory: RunDirectory, claims: Sequence[Claim]) -> None:
    """Writes the run's claims to where the job `claims` finds them."""
    directory.write_json(CLAIMS_FILE, [dataclasses.asdict(claim) for claim in claims])


def from_json(entries: Sequence[Mapping[str, str]]) -> list[Claim]:
    """Claims as `write_claims` wrote them."""
    return [Claim(**entry) for entry in entries]  # type: ignore[arg-type]
