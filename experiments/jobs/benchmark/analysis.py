"""The numbers of the benchmark, and where methods disagree."""

from collections.abc import Iterator, Sequence
from typing import Any

from experiments.framework.results import Entry, Results, entry
from experiments.framework.timing import Quartiles
from experiments.jobs.benchmark.costs import Result
from experiments.jobs.benchmark.measure import Measured, Plan
from experiments.jobs.benchmark.targets import check_targets

DISAGREEMENT = 3

# Sums of float32 in another order differ by about 1e-6; by 2e-3 where the input of a ReLU is so
# near 0 that its sign is rounding (seen between JAX and PyTorch); what is wrong, by far more.
TOLERANCE = 1e-2
_QUANTITIES = {"update_error": "the update", "uniqueness_error": "the uniqueness"}


def analyze(plan: Plan, measured: Measured) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: case and method, or what is varied (sweep), what it is the cost of, and size; quartile of
    times ("median", "low", "high"); target and case.
    """
    for case, results in measured.cases:
        yield entry("batch_size", case.batch_size, case=case.label)
        yield entry("parameters", case.num_parameters, case=case.label)
        yield from case_entries(case.label, results)
    for sweep, curves in measured.growth:
        for curve in curves:
            place = {"sweep": sweep.axis, "cost": curve.name}
            spreads = zip(sweep.sizes, curve.milliseconds, curve.operations)
            for size, spread, operations in spreads:
                yield from quartile_entries("milliseconds", spread, "ms", **place, size=size)
                yield entry("operations", operations, **place, size=size)
            for name, value in curve.exponent._asdict().items():
                yield entry(f"exponent_{name}", value, **place)
    for target in [] if plan.options.smoke else check_targets(measured.cases):
        place = {"target": target.quantity, "case": target.case}
        yield entry("measured", target.measured, **place)
        yield entry("limit", target.limit, **place)
        yield entry("met", target.met, **place)


def case_entries(label: str, results: Sequence[Result]) -> Iterator[Entry]:
    """What was measured of every method on one case.

    "needed" is the memory of a method that was skipped for it; its unit says if it is a lower
    bound.
    """
    for result in results:
        place = {"case": label, "method": result.method}
        if result.milliseconds is None or result.relative is None:
            yield entry("needed", result.memory_mib, result.skipped, **place)
        else:
            yield from quartile_entries("milliseconds", result.milliseconds, "ms", **place)
            yield from quartile_entries("relative", result.relative, **place)
        yield entry("samples", result.samples, **place)
        known = {"memory": result.memory_mib}
        known |= {measure: getattr(result, measure) for measure in _QUANTITIES}
        for measure, value in known.items():
            if value is not None:
                yield entry(measure, value, "MiB" if measure == "memory" else "", **place)


def quartile_entries(
    measure: str, spread: Quartiles, unit: str = "", /, **keys: Any
) -> Iterator[Entry]:
    """Median and quartiles of one quantity."""
    for name, value in spread._asdict().items():
        yield entry(measure, value, unit, **keys, quartile=name)


def disagreements(results: Results, tolerance: float) -> list[str]:
    """One sentence for every result that differs from its reference by more than `tolerance`."""
    return [
        f"{label}, {method}: {quantity} differs by {error.mean:.1e} from its reference"
        for (label, method), row in results.groups("case", "method")
        for measure, quantity in _QUANTITIES.items()
        if (error := row.find(measure)) is not None and not error.mean <= tolerance
    ]


def exit_code(plan: Plan, results: Results) -> int:
    """0, or 3 if methods disagree."""
    return DISAGREEMENT if disagreements(results, TOLERANCE) else 0
