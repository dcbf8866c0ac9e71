"""What this project promises of its speed and memory, held against a measurement."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.jobs.benchmark.cases import Case
from experiments.jobs.benchmark.costs import Result
from experiments.jobs.benchmark.methods import (
    AUDIT,
    CLIP,
    CLIPPED_GRAD,
    DENSE_AUDIT,
    DP_SGD,
    GATE,
    PLAIN,
)
from experiments.report.formats import UNKNOWN, significant
from experiments.report.tables import Table

# Largest time over that of the plain step: on the MLP with B = 128, and on the CNN and the GPT.
_LARGEST_RELATIVE = {AUDIT: (1.15, 1.35), GATE: (1.3, 1.5), DP_SGD: (1.3, 1.5)}
# Of the audit of a language model, by texts and tokens; and its memory over that of the plain step.
_LANGUAGE = {(8, 32): 1.15, (16, 32): 1.25, (8, 128): 1.25}
_LANGUAGE_MEMORY = 1.4
_SLOWER_THAN_DENSE = 1.05
_SPEEDUP = 100.0
_MEMORY_SHARE = 1 / 3
_MLP_BATCH = 128


@dataclass(frozen=True)
class Target:
    """One promise.

    Attributes:
        measured: What was measured; None where a method was skipped.
        at_least: Whether the limit is a lower bound; else it is an upper one.
    """

    quantity: str
    case: str
    limit: float
    measured: float | None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether it holds; None where a method was skipped."""
        if self.measured is None:
            return None
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


def targets_table(targets: Sequence[Target], note: str = "") -> Table:
    """Every promise with its verdict."""
    verdicts = {True: "met", False: "missed", None: UNKNOWN}
    rows = [
        [
            target.quantity,
            target.case,
            f"{'≥' if target.at_least else '≤'} {target.limit:.3g}",
            UNKNOWN if target.measured is None else significant(target.measured),
            verdicts[target.met],
        ]
        for target in targets
    ]
    columns = ("quantity", "case", "target", "measured", "verdict")
    return Table("Targets, which were set for 2 CPU cores", columns, rows, note)


def check_targets(measured: Sequence[tuple[Case, Sequence[Result]]]) -> list[Target]:
    """Every promise that speaks of one of the cases."""
    targets = []
    for case, results in measured:
        by_name, label = {result.method: result for result in results}, case.label
        mlp = case.family == "mlp"
        if case.family in ("cnn", "gpt") or (mlp and case.batch_size == _MLP_BATCH):
            for method, limits in _LARGEST_RELATIVE.items():
                limit = limits[0] if mlp else limits[1]
                ratio = _time_ratio(by_name[method], by_name[PLAIN])
                targets.append(Target(f"{method} / plain step", label, limit, ratio))
        over_dense = _time_ratio(by_name[AUDIT], by_name[DENSE_AUDIT])
        targets.append(Target("audit / vmap(grad) audit", label, _SLOWER_THAN_DENSE, over_dense))
        if mlp:
            speedup = _time_ratio(by_name[CLIPPED_GRAD], by_name[CLIP])
            targets.append(Target("clipped_grad / gujax clip", label, _SPEEDUP, speedup, True))
        if case.family == "gpt":
            share = _memory_ratio(by_name[AUDIT], by_name[DENSE_AUDIT])
            targets.append(Target("memory: audit / vmap(grad)", label, _MEMORY_SHARE, share))
        if case.family == "smollm2":
            texts, tokens = case.batch.shape
            if (longest := _LANGUAGE.get((texts, tokens - 1))) is not None:
                ratio = _time_ratio(by_name[AUDIT], by_name[PLAIN])
                targets.append(Target(f"{AUDIT} / plain step", label, longest, ratio))
                share = _memory_ratio(by_name[AUDIT], by_name[PLAIN])
                targets.append(Target("memory: audit / plain step", label, _LANGUAGE_MEMORY, share))
    return targets


def _time_ratio(one: Result, other: Result) -> float | None:
    if one.relative is None or other.relative is None:
        return None
    return one.relative.median / other.relative.median


def _memory_ratio(one: Result, other: Result) -> float | None:
    if one.memory_mib is None or other.memory_mib is None:
        return None
    return one.memory_mib / other.memory_mib
