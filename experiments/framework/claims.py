"""Claims of the literature, held against what a run measured."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from experiments.framework.results import Measured
from experiments.framework.run_directory import RunDirectory
from gujax.statistics import Interval

Verdict = Literal[
    "reproduced", "partly", "not told apart", "contradicted", "not tested at this scale"
]

CLAIMS_FILE = "claims.json"


@dataclass(frozen=True)
class Claim:
    """What is claimed, what was measured, and what follows.

    Attributes:
        key: Its name, the same in every run that tests it.
        statement: What is claimed, in one sentence.
        source: Paper and section.
        measured: What the run measured, with intervals; made from its numbers.
        effects: The measured contrasts by which the claim is judged, each with its interval,
            positive where the claim holds. Empty if it was not tested.
        verdict: What follows from them, see `verdict`.
        contrasts: The effects' names in words, with their units, by which a sweep finds the same
            ones in other runs; empty if they have none.
    """

    key: str
    statement: str
    source: str
    measured: str
    effects: tuple[Interval, ...]
    verdict: Verdict
    contrasts: tuple[str, ...] = ()


def test(
    key: str,
    statement: str,
    source: str,
    measured: str,
    effects: Sequence[Measured | Interval] | Mapping[str, Measured | Interval],
) -> Claim:
    """A claim with the verdict that follows from its effects, see `Claim`.

    Effects are contrasts that are positive where the claim holds; subtract the margin, as in
    ``limit - measured`` for a claim that something is at most `limit`. Given by name, they can be
    told from one another where runs are compared.
    """
    names = tuple(effects) if isinstance(effects, Mapping) else ()
    values = effects.values() if isinstance(effects, Mapping) else effects
    intervals = tuple(e.interval if isinstance(e, Measured) else e for e in values)
    return Claim(key, statement, source, measured, intervals, verdict(intervals), names)


test.__test__ = False  # type: ignore[attr-defined]  # not for pytest


def above(measured: Measured | Interval, limit: float) -> Interval:
    """By how much a quantity exceeds a limit."""
    mean, low, high = measured.interval if isinstance(measured, Measured) else measured
    return Interval(mean - limit, low - limit, high - limit)


def below(measured: Measured | Interval, limit: float) -> Interval:
    """By how much a quantity stays below a limit."""
    mean, low, high = above(measured, limit)
    return Interval(-mean, -high, -low)


def verdict(effects: Sequence[Interval]) -> Verdict:
    """Verdict on a claim that every effect is positive.

    Args:
        effects: Mean over seeds and interval of each effect, positive where the claim holds.

    Returns:
        "contradicted" if an interval lies below 0; else "reproduced" if every interval lies above
        0, "partly" if some do, and "not told apart" if all include 0. Without an interval, as for a
        single seed, nothing is claimed to be tested.
    """
    if not effects or any(effect.low != effect.low for effect in effects):
        return "not tested at this scale"
    if any(effect.high < 0 for effect in effects):
        return "contradicted"
    above_zero = [effect.low > 0 for effect in effects]
    if all(above_zero):
        return "reproduced"
    return "partly" if any(above_zero) else "not told apart"


def write_claims(directory: RunDirectory, claims: Sequence[Claim]) -> None:
    """Writes the run's claims to where the job `claims` finds them."""
    directory.write_json(CLAIMS_FILE, [dataclasses.asdict(claim) for claim in claims])


def read_claims(run: Path) -> list[Claim]:
    """The claims of a run; none if it tested none.

    Raises:
        ValueError: See `from_json`.
    """
    file = run / CLAIMS_FILE
    return from_json(json.loads(file.read_text())) if file.exists() else []


def from_json(entries: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """Claims as `write_claims` wrote them.

    Raises:
        ValueError: They were written by an earlier version, whose verdicts do not tell what was
            contradicted from what was not told apart.
    """
    claims = []
    for given in entries:
        if given["verdict"] not in get_args(Verdict):
            raise ValueError(
                f"the verdict {given['verdict']!r} is of an earlier version, which did not tell "
                "'contradicted' from 'not told apart'; run the job again"
            )
        effects = tuple(
            Interval(*(float("nan") if e is None else e for e in effect))
            for effect in given.get("effects", ())
        )
        contrasts = tuple(given.get("contrasts", ()))
        claims.append(Claim(**{**given, "effects": effects, "contrasts": contrasts}))
    return claims
