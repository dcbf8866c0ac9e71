"""What this project promises of its speed and memory, held against a measurement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.jobs.benchmark.cases import Case
from experiments.jobs.benchmark.measure import Result
from experiments.jobs.benchmark.methods import AUDIT, CLIP, CLIPPED_GRAD, DENSE_AUDIT, DP_SGD, GATE

# Largest time over that of the plain step: on the MLP with B = 128, and on the CNN and the GPT.
_LARGEST_RELATIVE = {AUDIT: (1.15, 1.35), GATE: (1.3, 1.5), DP_SGD: (1.3, 1.5)}
_SLOWER_THAN_DENSE = 1.05
_SPEEDUP = 100.0
_MEMORY_SHARE = 1 / 3
_MLP_BATCH = 128


@dataclass(frozen=True)
class Target:
    """One promise.

    Attributes:
        quantity: What is promised.
        case: On what.
        limit: The bound, in words.
        measured: What was measured; None where a method was skipped.
        met: Whether it holds; None where a method was skipped.
    """

    quantity: str
    case: str
    limit: str
    measured: float | None
    met: bool | None


def check_targets(measured: Mapping[str, tuple[Case, Sequence[Result]]]) -> list[Target]:
    """Every promise that speaks of one of the cases.

    Args:
        measured: Cases with their results, by label.
    """
    targets = []
    for label, (case, results) in measured.items():
        by_name = {result.method: result for result in results}
        mlp = case.family == "mlp"
        if case.family in ("cnn", "gpt") or (mlp and case.batch_size == _MLP_BATCH):
            for method, limits in _LARGEST_RELATIVE.items():
                limit = limits[0] if mlp else limits[1]
                spread = by_name[method].relative
                ratio = None if spread is None else spread.median
                targets.append(_at_most(f"{method} / plain step", label, ratio, limit))
        over_dense = _time_ratio(by_name[AUDIT], by_name[DENSE_AUDIT])
        targets.append(_at_most("audit / vmap(grad) audit", label, over_dense, _SLOWER_THAN_DENSE))
        if mlp:
            speedup = _time_ratio(by_name[CLIPPED_GRAD], by_name[CLIP])
            met = None if speedup is None else speedup >= _SPEEDUP
            quantity, limit_text = "clipped_grad / gujax clip", f"≥ {_SPEEDUP:g}"
            targets.append(Target(quantity, label, limit_text, speedup, met))
        if case.family == "gpt":
            ours, dense = by_name[AUDIT].memory_mib, by_name[DENSE_AUDIT].memory_mib
            share = None if ours is None or dense is None else ours / dense
            quantity = "memory: audit / vmap(grad)"
            targets.append(_at_most(quantity, label, share, _MEMORY_SHARE))
    return targets


def _at_most(quantity: str, label: str, value: float | None, limit: float) -> Target:
    met = None if value is None else value <= limit
    return Target(quantity, label, f"≤ {limit:.2f}", value, met)


def _time_ratio(one: Result, other: Result) -> float | None:
    if one.relative is None or other.relative is None:
        return None
    return one.relative.median / other.relative.median
