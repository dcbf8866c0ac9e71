"""The report of the benchmark: tables, figures and one HTML page."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
from matplotlib.figure import Figure

from experiments.framework.run_directory import RunDirectory
from experiments.jobs.benchmark.cases import Case
from experiments.jobs.benchmark.growth import ADDED, Curve, Sweep
from experiments.jobs.benchmark.measure import Effort, Result
from experiments.jobs.benchmark.methods import (
    GATE_QUANTILE,
    L2_NORM_CLIP,
    METHODS,
    PLAIN,
    RELATIVE_RIDGE,
)
from experiments.jobs.benchmark.targets import Target, check_targets
from experiments.report import figures, html, style
from experiments.report.formats import significant
from experiments.report.tables import Table

if TYPE_CHECKING:
    from experiments.jobs.benchmark.job import Options

Measured = Mapping[str, tuple[Case, Sequence[Result]]]
Growth = Sequence[tuple[Sweep, Sequence[Curve]]]

_OURS = {method.name for method in METHODS if method.ours}
_IN_JAX = {method.name for method in METHODS}


def write(
    directory: RunDirectory,
    options: "Options",
    effort: Effort,
    measured: Measured,
    growth: Growth,
    wrong: Sequence[str],
) -> list[Table]:
    """Writes `summary.json`, figures and `report.html`; returns the tables for the terminal.

    Args:
        directory: The run directory.
        options: Options of the job.
        effort: Limits of time and memory.
        measured: Cases with their results, by label.
        growth: Sweeps with their curves.
        wrong: Where methods disagree, in words.
    """
    targets = [] if options.smoke else check_targets(measured)
    directory.write_json("summary.json", _summary(measured, growth, targets, wrong))
    tables = costs = cost_tables(measured, effort)
    sections = [
        html.section("Do the methods agree?", *_agreement(measured, wrong)),
        html.section("Time", *_time_figure(directory, measured), *map(html.table, costs)),
        html.section("Memory", *_memory_figure(directory, measured)),
    ]
    if growth:
        exponents = exponent_tables(growth)
        tables = [*tables, *exponents]
        sections.append(
            html.section(
                "How cost grows", *_growth_figure(directory, growth), *map(html.table, exponents)
            )
        )
    if targets:
        tables = [*tables, targets_table(targets)]
        sections.insert(1, html.section("Targets", html.table(tables[-1])))
    sections.append(html.section("What was run", html.bullets(_setting(options, effort))))
    sections.append(html.section("Files of this run", html.bullets(_FILES)))
    lead = (
        f"Random data on {_machine()}, float32. All methods of a model run side by side in one "
        "process; medians, with quartiles."
    )
    if options.smoke:
        lead += " A smoke test: the models are tiny and the times mean nothing."
    title = "What a privacy-aware training step costs"
    directory.file("report.html").write_text(html.page(title, lead, sections))
    return tables


def cost_tables(measured: Measured, effort: Effort) -> list[Table]:
    """Time and memory of every method, one table per model; the last explains them."""
    tables = []
    for index, (label, (_, results)) in enumerate(measured.items(), start=1):
        note = _cost_note(effort) if index == len(measured) else ""
        columns = ("method", "ms", "over plain", "quartiles", "samples", "MiB")
        rows = [_cost_row(result) for result in results]
        tables.append(Table(f"Cost of one step of {label}", columns, rows, note))
    return tables


def _cost_row(result: Result) -> list[str]:
    memory = "–" if result.memory_mib is None else significant(result.memory_mib, 4)
    if result.milliseconds is None or result.relative is None:
        return [result.method, "–", "–", f"skipped: {result.skipped}", "0", memory]
    return [
        result.method,
        significant(result.milliseconds.median, 4),
        f"{significant(result.relative.median)}×",
        f"{significant(result.relative.low)}–{significant(result.relative.high)}",
        str(result.samples),
        memory,
    ]


def _cost_note(effort: Effort) -> str:
    return (
        "Over plain: median of the ratios to the plain step of the same round, and its quartiles; "
        "PyTorch's methods over PyTorch's plain step. Memory is what a step takes beside its "
        "inputs, its outputs included. A method whose step takes longer than "
        f"{effort.seconds:g} s is run once; one that needs more than "
        f"{effort.memory_mib / 1024:.3g} GiB is skipped."
    )


def exponent_tables(growth: Growth) -> list[Table]:
    """Fitted exponents beside the predicted ones, one table per sweep; the last explains them."""
    note = (
        "Slopes of log cost over log size by least squares. Predicted: of the operation count at "
        "the same sizes; XLA's count for the plain step, and what gujax.explain predicts for the "
        "Gram matrix as what the audit adds. Measured: of the median time, with its t-interval "
        "over the sizes. The solve of the B × B system and memory traffic are not predicted."
    )
    tables = []
    for index, (sweep, curves) in enumerate(growth, start=1):
        title = f"Growth with the {sweep.axis}, {sweep.sizes[0]}–{sweep.sizes[-1]}: {sweep.model}"
        columns = ("cost of", "ms, first–last", "predicted", "measured", "95 % interval")
        rows = [_exponent_row(curve) for curve in curves]
        tables.append(Table(title, columns, rows, note if index == len(growth) else ""))
    return tables


def _exponent_row(curve: Curve) -> list[str]:
    first, last = curve.milliseconds[0].median, curve.milliseconds[-1].median
    exponent = curve.exponent
    measured, interval = "below the noise", "–"
    if exponent.measured is not None:
        measured = f"{exponent.measured:.2f}"
        interval = f"{exponent.low:.2f} to {exponent.high:.2f}"
    predicted = f"{exponent.predicted:.2f}"
    return [curve.name, f"{first:.3g}–{last:.3g}", predicted, measured, interval]


def targets_table(targets: Sequence[Target]) -> Table:
    """Promises, and whether they hold."""
    verdicts = {True: "met", False: "missed", None: "–"}
    rows = [
        [
            target.quantity,
            target.case,
            target.limit,
            "–" if target.measured is None else significant(target.measured),
            verdicts[target.met],
        ]
        for target in targets
    ]
    return Table(
        "Targets, which were set for 2 CPU cores",
        ("quantity", "model and batch", "target", "measured", "verdict"),
        rows,
        "–: a method was skipped, because it needs too much memory. Ratios are of times, but for "
        "memory.",
    )


def _kind(method: str) -> str:
    if method not in _IN_JAX:
        return "torch"
    return "plain" if method == PLAIN else "gujax" if method in _OURS else "jax"


def _panels(measured: Measured, memory: bool) -> list[figures.CostPanel]:
    panels = []
    for label, (_, results) in measured.items():
        costs: list[tuple[float, float, float] | None] = []
        for result in results:
            if memory:
                known = not result.skipped and result.memory_mib is not None
                costs.append((result.memory_mib,) * 3 if known else None)  # type: ignore[arg-type]
            else:
                spread = result.relative
                costs.append(spread and (spread.low, spread.median, spread.high))
        panels.append(
            figures.CostPanel(
                label,
                [result.method for result in results],
                [_kind(result.method) for result in results],
                costs,
                [f"skipped: {result.skipped}" for result in results],
            )
        )
    return panels


def _time_figure(directory: RunDirectory, measured: Measured) -> list[str]:
    drawn = figures.method_costs(
        _panels(measured, memory=False), "time over that of the plain step (log scale)", 1.0
    )
    return _figure(
        drawn,
        directory.file("figures/time"),
        "Time of every method over that of the plain step, one panel per model",
        "Time of a step over that of the plain step of the same round: median (dot, number) "
        "and quartiles (line). PyTorch's methods are held against PyTorch's plain step.",
    )


def _memory_figure(directory: RunDirectory, measured: Measured) -> list[str]:
    return _figure(
        figures.method_costs(_panels(measured, memory=True), "MiB (log scale)", None),
        directory.file("figures/memory"),
        "Memory of every method, one panel per model",
        "Memory of a step beside its inputs. In JAX: temporary memory and outputs of the "
        "compiled program, by XLA's own analysis. In PyTorch, which updates the parameters in "
        "place: the peak of its allocator above what it held before the step.",
    )


def _growth_figure(directory: RunDirectory, growth: Growth) -> list[str]:
    panels = [
        figures.GrowthPanel(
            sweep.model,
            sweep.axis,
            sweep.sizes,
            [
                (
                    curve.name,
                    _kind(curve.name),
                    [(one.low, one.median, one.high) for one in curve.milliseconds],
                    curve.operations,
                )
                for curve in curves
                if curve.name != ADDED
            ],
        )
        for sweep, curves in growth
    ]
    return _figure(
        figures.cost_growth(panels, "milliseconds (log scale)"),
        directory.file("figures/growth"),
        "Time of the plain and of the audited step over four sizes",
        "Time of a step: medians (dots) and quartiles (bars). Dashed: operation counts, scaled "
        "to the same geometric mean, so that only the slope is compared.",
    )


def _figure(drawn: Figure, path: Path, alternative: str, caption: str) -> list[str]:
    return [html.figure(style.save(drawn, path), alternative, caption)]


def _agreement(measured: Measured, wrong: Sequence[str]) -> list[str]:
    errors = [
        error
        for _, results in measured.values()
        for result in results
        for error in (result.update_error, result.uniqueness_error)
        if error is not None
    ]
    if wrong:
        return [html.verdict("No.", "bad"), html.bullets(wrong)]
    return [
        html.verdict(f"Yes: the largest relative difference is {max(errors):.1e}.", "good"),
        html.paragraph(
            "The program that is timed runs once without noise, and its update is held against "
            "that of code which is not ours: audited updates against the plain step's, clipped "
            "sums against jax_privacy's. The uniqueness is held against that by vmap(grad)."
        ),
    ]


def _setting(options: "Options", effort: Effort) -> list[str]:
    return [
        "Every method is one compiled step of SGD without momentum, from parameters and batch to "
        "new parameters. Nothing is donated, and a step has ended when all its results are there.",
        f"Rounds follow one another in random order; up to {effort.rounds} samples per method, "
        f"within {effort.seconds:g} s each, but at least 5 where so many are allowed.",
        f"The audit and the gate measure GNQ under a ridge of {RELATIVE_RIDGE:g} × the mean "
        f"squared gradient norm; the gate drops what is above the {GATE_QUANTILE:g} quantile.",
        f"Clipping is to an L2 norm of {L2_NORM_CLIP:g}; gujax dp_sgd, optax and Opacus add noise "
        "of one clipping norm, jax_privacy's clipped_grad and gujax clip add none.",
        "The vmap(grad) audit is the gujax audit of dense per-example gradients.",
        "Opacus is run where it is installed, on the models of which there is a twin in PyTorch: "
        "the MLP and the CNN.",
    ]


def _machine() -> str:
    device = jax.devices()[0]
    cpus = f"{os.cpu_count()} CPU cores"
    return cpus if device.platform == "cpu" else f"{device.device_kind} ({cpus})"


def _summary(
    measured: Measured, growth: Growth, targets: Sequence[Target], wrong: Sequence[str]
) -> dict[str, Any]:
    return {
        "device": jax.devices()[0].device_kind,
        "cases": {
            label: {
                "family": case.family,
                "batch_size": case.batch_size,
                "parameters": case.num_parameters,
                "methods": {
                    result.method: _plain(result, leave_out="method") for result in results
                },
            }
            for label, (case, results) in measured.items()
        },
        "growth": [
            {
                "axis": sweep.axis,
                "model": sweep.model,
                "sizes": sweep.sizes,
                "curves": {curve.name: _plain(curve, leave_out="name") for curve in curves},
            }
            for sweep, curves in growth
        ],
        "targets": [_plain(target) for target in targets],
        "disagreements": list(wrong),
    }


def _plain(record: Any, leave_out: str = "") -> dict[str, Any]:
    """A dataclass as a dict for JSON, quartiles by name."""
    fields = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return {name: _named(value) for name, value in fields.items() if name != leave_out}


def _named(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return value._asdict()
    if dataclasses.is_dataclass(value):
        return _plain(value)
    return [_named(item) for item in value] if isinstance(value, list) else value


_FILES = [
    "summary.json: all numbers of this page.",
    "figures/: every figure as SVG and PNG.",
    "config.json: the options, and versions of the libraries.",
]
