"""Figures of what a network's layers leak."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from experiments.report.style import new_figure
from gujax.statistics import Interval

# From dark to light: levels of what is varied, least first (a cut of the viridis colour map).
_LEVELS = ("#222222", "#31688e", "#35b779", "#d5a021", "#d55e00", "#cc79a7", "#56b4e9")
_MARKERS = "os^Dv*P"
_REFERENCE = "#7a828c"


@dataclass(frozen=True)
class LayerPanel:
    """One measure over the layers.

    Attributes:
        title: The measure, with its unit.
        lines: For each level its name and the measure at every layer.
        reference: What guessing reaches, or nothing leaked; drawn as a dotted line if given.
        log_scale: Whether the measure's axis is logarithmic.
        limits: Least and greatest value that the measure can have; intervals end there.
    """

    title: str
    lines: Sequence[tuple[str, Sequence[Interval]]]
    reference: float | None = None
    log_scale: bool = False
    limits: tuple[float, float] = (-np.inf, np.inf)


def layer_profiles(
    panels: Sequence[LayerPanel], layers: Sequence[str], num_shaded: int, columns: int
) -> Figure:
    """Measures over layers, from input to output, one line for each level of what is varied.

    Args:
        panels: The measures.
        layers: Names of the layers, the same for all panels.
        num_shaded: Number of last layers on a shaded ground: the fully connected ones.
        columns: Panels side by side.
    """
    width = max(2.9, 0.36 * len(layers) + 0.9)
    figure, grid = _grid(len(panels), columns, (width, 2.7), 0.9, sharex=True)
    names = list(dict.fromkeys(name for panel in panels for name, _ in panel.lines))
    handles = {}
    for axes, panel in zip(grid, panels):
        if num_shaded:
            left = len(layers) - num_shaded - 0.5
            axes.axvspan(left, len(layers) - 0.5, color="#f0f1f4", linewidth=0, zorder=0)
        if panel.reference is not None:
            axes.axhline(panel.reference, color=_REFERENCE, linestyle=":", linewidth=1)
        for index, (name, values) in enumerate(panel.lines):
            shift = 0.1 * (index - (len(panel.lines) - 1) / 2)
            x = np.arange(len(layers)) + shift
            handles[name] = _points(axes, x, values, names.index(name), panel.limits)
        axes.set_title(panel.title, loc="left", fontsize=9)
        axes.set_xlim(-0.5, len(layers) - 0.5)
        axes.set_xticks(
            range(len(layers)), layers, rotation=45, ha="right", rotation_mode="anchor", fontsize=8
        )
        axes.grid(axis="x", visible=False)
        if panel.log_scale:
            axes.set_yscale("log")
            ends = [end for _, values in panel.lines for v in values for end in (v.low, v.mean / 3)]
            means = [value.mean for _, values in panel.lines for value in values]
            # An interval that reaches 0 runs to the edge; it must not stretch the axis.
            axes.set_ylim(bottom=max(0.8 * np.nanmin(ends), np.nanmin(means) / 4))
            _plain_ticks(axes.yaxis, *axes.get_ylim())
    _legend(figure, handles)
    return figure


@dataclass(frozen=True)
class SubspacePanel:
    """Distance between gradients with and without a property, of one layer.

    Attributes:
        title: The layer.
        ks: Dimensions of the subspaces.
        distance: At each, from 0 to 1.
        control: The same with the property shuffled.
    """

    title: str
    ks: Sequence[int]
    distance: Sequence[Interval]
    control: Sequence[Interval]


def subspace_distances(panels: Sequence[SubspacePanel]) -> Figure:
    """Subspace distance over the dimension, with its shuffled control, one panel per layer."""
    figure, grid = _grid(len(panels), 4, (2.5, 2.3), 0.7, sharey=True)
    for axes, panel in zip(grid, panels):
        x = np.arange(len(panel.ks))
        shuffled = _points(axes, x - 0.05, panel.control, 3, (0, 1), color=_REFERENCE)
        real = _points(axes, x + 0.05, panel.distance, 0, (0, 1), color="#0072B2")
        axes.set_xticks(x, [str(k) for k in panel.ks])
        axes.set_title(panel.title, loc="left", fontsize=9.5)
        axes.set_ylim(-0.03, 1.03)
        axes.grid(axis="x", visible=False)
    _legend(figure, {"with against without the attribute": real, "attribute shuffled": shuffled})
    figure.supxlabel("dimension k of the subspaces", fontsize=10)
    figure.supylabel("distance / √k", fontsize=10)
    return figure


PointGroup = tuple[str, Sequence[float], Sequence[float]]
"""Points with one colour and marker: their name and their coordinates."""


@dataclass(frozen=True)
class ScatterPanel:
    """One measure against another, a point for each layer and condition.

    Attributes:
        x_label: The measure on the horizontal axis.
        y_label: The one on the vertical axis.
        groups: The points.
        log_x: Whether the horizontal axis is logarithmic.
        note: Written above the panel.
    """

    x_label: str
    y_label: str
    groups: Sequence[PointGroup]
    log_x: bool = False
    note: str = ""


def layer_scatter(panels: Sequence[ScatterPanel]) -> Figure:
    """Measures against each other; groups have one colour and marker in all panels."""
    figure, grid = new_figure(3.6 * len(panels), 3.9, columns=len(panels), squeeze=False)
    handles = {}
    names: dict[str, int] = {}
    for axes, panel in zip(grid[0], panels):
        for name, x, y in panel.groups:
            index = names.setdefault(name, len(names))
            handles[name] = axes.scatter(
                x,
                y,
                s=18,
                color=_tint(index),
                marker=_MARKERS[index % len(_MARKERS)],
                alpha=0.75,
                linewidth=0,
            )
        if panel.log_x:
            axes.set_xscale("log")
            _plain_ticks(axes.xaxis, *axes.get_xlim())
        axes.set_xlabel(panel.x_label)
        axes.set_ylabel(panel.y_label)
        axes.set_title(panel.note, loc="left", fontsize=9.5)
    _legend(figure, handles, "outside lower left")
    return figure


def correlation_intervals(
    panels: Sequence[tuple[str, Sequence[tuple[str, Sequence[tuple[str, Interval]]]]]],
) -> Figure:
    """Rank correlations with intervals.

    Args:
        panels: For each panel its title and its pairs of measures; for each pair its name and, by
            name of the condition, the correlation.
    """
    tallest = max(len(pairs) for _, pairs in panels)
    figure, grid = new_figure(
        5.2 * len(panels), 0.42 * tallest + 1.6, columns=len(panels), squeeze=False
    )
    handles = {}
    names: dict[str, int] = {}
    for axes, (title, pairs) in zip(grid[0], panels):
        axes.axvline(0, color=_REFERENCE, linestyle=":", linewidth=1)
        for row, (_, entries) in enumerate(pairs):
            for index, (name, interval) in enumerate(entries):
                tint = names.setdefault(name, len(names))
                y = row + 0.18 * (index - (len(entries) - 1) / 2)
                low, high = max(interval.low, -1), min(interval.high, 1)
                axes.plot((low, high), (y, y), color=_tint(tint), linewidth=1.3)
                (handles[name],) = axes.plot(
                    interval.mean,
                    y,
                    _MARKERS[tint % len(_MARKERS)],
                    color=_tint(tint),
                    markersize=5,
                )
        axes.set_yticks(range(len(pairs)), [pair for pair, _ in pairs], fontsize=8.5)
        axes.set_ylim(len(pairs) - 0.5, -0.5)
        axes.set_xlim(-1.04, 1.04)
        axes.grid(axis="y", visible=False)
        axes.set_title(title, loc="left", fontsize=10)
    figure.supxlabel("Spearman's rank correlation", fontsize=10)
    _legend(figure, handles)
    return figure


def _grid(
    count: int, columns: int, size: tuple[float, float], legend: float, **options: Any
) -> tuple[Figure, Sequence[Axes]]:
    """A figure of so many panels, each of a size in inches, and room for the legend."""
    columns = min(count, columns)
    rows = -(-count // columns)
    width, height = size[0] * columns, size[1] * rows + legend
    figure, grid = new_figure(width, height, rows, columns, squeeze=False, **options)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return figure, grid.flat[:count]


def _legend(figure: Figure, handles: Mapping[str, Any], place: Any = "outside upper left") -> None:
    figure.legend(
        handles.values(),
        handles.keys(),
        loc=place,
        ncols=min(len(handles), 6),
        frameon=False,
        fontsize=9,
    )


def _points(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    values: Sequence[Interval],
    index: int,
    limits: tuple[float, float],
    color: str | None = None,
):
    """Points with their intervals, joined by a line."""
    mean, *interval = np.array(values, float).T
    low, high = np.clip(interval, *limits)
    ends = np.nan_to_num([mean - low, high - mean])
    return axes.errorbar(
        x,
        mean,
        yerr=ends,
        fmt=f"-{_MARKERS[index % len(_MARKERS)]}",
        color=color or _tint(index),
        markersize=4.5,
        linewidth=1.3,
        elinewidth=0.9,
        capsize=0,
    )


def _plain_ticks(axis: Axis, low: float, high: float) -> None:
    """Numbers without exponents on a logarithmic axis; some between the decades if it is short."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _tint(index: int) -> str:
    return _LEVELS[index % len(_LEVELS)]
