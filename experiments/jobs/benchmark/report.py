"""What the benchmark shows of its steps; its words are in `report.html.jinja`."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from experiments.framework.results import Measured as Quantity
from experiments.framework.results import Results
from experiments.jobs.benchmark import methods
from experiments.jobs.benchmark.analysis import TOLERANCE, disagreements
from experiments.jobs.benchmark.costs import Effort
from experiments.jobs.benchmark.growth import ADDED, Sweep
from experiments.jobs.benchmark.measure import Measured, Plan
from experiments.jobs.benchmark.targets import check_targets, targets_table
from experiments.report import figures
from experiments.report.formats import UNKNOWN, Format, plain, significant
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, Columns, KeyColumn, Table, tabulate

_KINDS = {method.name: "gujax" if method.ours else "jax" for method in methods.METHODS}
_KINDS[methods.PLAIN] = "plain"
_QUARTILES = ("low", "median", "high")
_Place = tuple[str, Mapping[str, Any]]  # a measure and its keys


def report(plan: Plan, measured: Measured, results: Results) -> Report:
    """Tables, figures and their page."""
    targets = [] if plan.options.smoke else check_targets(measured.cases)
    wrong = disagreements(results, TOLERANCE)
    costs = _cost_tables(results, plan.effort)
    exponents = _exponent_tables(results, plan.sweeps)
    tables = {**costs, **exponents}
    if targets:
        skipped = f"{UNKNOWN}: a method was skipped, because it needs too much memory. "
        tables["targets"] = targets_table(targets, f"{skipped}Ratios are of times, but for memory.")
    return Report(
        __file__,
        tables=tables,
        figures=_figures(results, plan.sweeps),
        terminal=tuple(tables),
        remarks=wrong,
        words={
            "options": plan.options,
            "effort": plan.effort,
            "machine": _machine(),
            "costs": costs,
            "exponents": exponents,
            "wrong": wrong,
            "largest_error": max(
                measured.mean
                for name, measured, _ in results.entries
                if name in ("update_error", "uniqueness_error")
            ),
            "methods": methods,
        },
    )


def _cost_tables(results: Results, effort: Effort) -> dict[str, Table]:
    note = (
        "Over plain: median of the ratios to the plain step of the same round, and its quartiles; "
        "PyTorch's methods over PyTorch's plain step. Memory is what a step takes beside its "
        "inputs, its outputs included. A method whose step takes longer than "
        f"{effort.seconds:g} s is run once; one that needs more than "
        f"{effort.memory_mib / 1024:.3g} GiB is skipped."
    )
    quartiles = _both(*(("relative", {"quartile": end}) for end in ("low", "high")))
    columns: Columns = [
        KeyColumn("method", "method"),
        Column("ms", "milliseconds", _rounded(4), {"quartile": "median"}),
        Column("over plain", "relative", _rounded(3, "×"), {"quartile": "median"}),
        Column("quartiles", lambda row: row.find("needed") or quartiles(row), _spread),
        Column("samples", "samples", plain(".0f")),
        Column("MiB", "memory", _rounded(4)),
    ]
    cases = [label for (label,), _ in results.groups("case")]
    return {
        label: tabulate(
            f"Cost of one step of {label}",
            results.where(case=label),
            columns,
            note if label == cases[-1] else "",
        )
        for label in cases
    }


def _exponent_tables(results: Results, sweeps: Sequence[Sweep]) -> dict[str, Table]:
    note = (
        "Slopes of log cost over log size by least squares. Predicted: of the operation count at "
        "the same sizes; XLA's count for the plain step, and what gujax.explain predicts for the "
        "Gram matrix as what the audit adds. Measured: of the median time, with its t-interval "
        "over the sizes. The solve of the B × B system and memory traffic are not predicted."
    )
    return {
        f"growth with the {sweep.axis}": tabulate(
            f"Growth with the {sweep.axis}, {sweep.sizes[0]}–{sweep.sizes[-1]}: {sweep.model}",
            results.where(sweep=sweep.axis),
            _growth_columns(sweep),
            note if sweep is sweeps[-1] else "",
        )
        for sweep in sweeps
    }


def _growth_columns(sweep: Sweep) -> list[KeyColumn | Column]:
    first_last = [
        ("milliseconds", {"size": size, "quartile": "median"})
        for size in (sweep.sizes[0], sweep.sizes[-1])
    ]
    interval: list[_Place] = [("exponent_low", {}), ("exponent_high", {})]
    return [
        KeyColumn("cost of", "cost"),
        Column("ms, first–last", _both(*first_last), _joined("–", ".3g")),
        Column("predicted", "exponent_predicted", plain(".2f")),
        Column("measured", "exponent_measured", _or("below the noise", plain(".2f"))),
        Column("95 % interval", _both(*interval), _joined(" to ", ".2f")),
    ]


def _rounded(digits: int, suffix: str = "") -> Format:
    return lambda measured: significant(measured.mean, digits) + suffix


def _both(*places: _Place) -> Callable[[Results], Quantity]:
    """Two quantities of a row, to be shown in one cell."""
    return lambda row: Quantity(
        np.concatenate([row.get(measure, **keys).values for measure, keys in places])
    )


def _joined(word: str, spec: str) -> Format:
    """Both ends of a range."""

    def show(ends: Quantity) -> str:
        unknown = np.isnan(ends.values).any()
        return UNKNOWN if unknown else word.join(f"{end:{spec}}" for end in ends.values)

    return show


def _or(text: str, show: Format) -> Format:
    """`text` in place of what is not known."""
    return lambda measured: text if np.isnan(measured.mean) else show(measured)


def _spread(measured: Quantity) -> str:
    """Quartiles, or the memory for which a method was skipped."""
    if len(measured.values) == 1:
        return f"skipped: needs {measured.mean / 1024:.1f} {measured.unit.replace('MiB', 'GiB')}"
    return "–".join(map(significant, measured.values))


def _means(row: Results, measure: str) -> tuple[float, float, float]:
    low, median, high = (row.get(measure, quartile=name).mean for name in _QUARTILES)
    return low, median, high


def _costs(results: Results, memory: bool) -> dict[str, list[figures.Cost]]:
    """Memory, or time over that of the plain step, of every method by model."""

    def cost(method: str, row: Results) -> figures.Cost:
        needed, known = row.find("needed"), row.find("memory")
        kind = _KINDS.get(method, "torch")
        if needed or (memory and known is None):
            return figures.Cost(method, kind, None, _spread(needed) if needed else "")
        means = (known.mean,) * 3 if memory and known else _means(row, "relative")
        return figures.Cost(method, kind, means)

    return {
        label: [cost(method, row) for (method,), row in of_case.groups("method")]
        for (label,), of_case in results.groups("case")
    }


def _figures(results: Results, sweeps: Sequence[Sweep]) -> dict[str, Picture]:
    time, memory = (_costs(results, memory) for memory in (False, True))
    drawn = {
        "time": Picture(
            figures.method_costs(time, "time over that of the plain step (log scale)", 1.0),
            "Time of every method over that of the plain step, one panel per model",
        ),
        "memory": Picture(
            figures.method_costs(memory, "MiB (log scale)", None),
            "Memory of every method, one panel per model",
        ),
    }
    if sweeps:
        panels = [
            figures.GrowthPanel(
                sweep.model,
                sweep.axis,
                sweep.sizes,
                [
                    (
                        cost,
                        _KINDS[cost],
                        [_means(row, "milliseconds") for _, row in curve.groups("size")],
                        [row.get("operations").mean for _, row in curve.groups("size")],
                    )
                    for (cost,), curve in results.where(sweep=sweep.axis).groups("cost")
                    if cost != ADDED
                ],
            )
            for sweep in sweeps
        ]
        drawn["growth"] = Picture(
            figures.cost_growth(panels, "milliseconds (log scale)"),
            "Time of the plain and of the audited step over four sizes",
        )
    return drawn


def _machine() -> str:
    device = jax.devices()[0]
    cpus = f"{os.cpu_count()} CPU cores"
    return cpus if device.platform == "cpu" else f"{device.device_kind} ({cpus})"
