"""Figures of what a network's layers leak."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.report.figures.series import error_bars
from experiments.report.style import BLUE, new_figure, plain_ticks, wrapped_grid
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
    lines: Mapping[str, Sequence[Interval]]
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
    size = max(2.9, 0.36 * len(layers) + 0.9), 2.7
    figure, grid = wrapped_grid(len(panels), columns, size, (0, 0.9), sharex=True)
    handles: dict[str, Any] = {}
    for axes, panel in zip(grid, panels):
        if num_shaded:
            left = len(layers) - num_shaded - 0.5
            axes.axvspan(left, len(layers) - 0.5, color="#f0f1f4", linewidth=0, zorder=0)
        if panel.reference is not None:
            axes.axhline(panel.reference, color=_REFERENCE, linestyle=":", linewidth=1)
        for index, (name, values) in enumerate(panel.lines.items()):
            x = np.arange(len(layers)) + 0.1 * (index - (len(panel.lines) - 1) / 2)
            handles[name] = _line(axes, x, values, panel.limits, **_look(name, handles))
        axes.set_title(panel.title, loc="left", fontsize=9)
        axes.set_xlim(-0.5, len(layers) - 0.5)
        axes.set_xticks(
            range(len(layers)), layers, rotation=45, ha="right", rotation_mode="anchor", fontsize=8
        )
        axes.grid(axis="x", visible=False)
        if panel.log_scale:
            axes.set_yscale("log")
            mean, low, _ = np.array([*panel.lines.values()], float).reshape(-1, 3).T
            # An interval that reaches 0 runs to the edge; it must not stretch the axis.
            lowest = np.nanmin([low, mean / 3])
            axes.set_ylim(bottom=max(0.8 * lowest, np.nanmin(mean) / 4))
            plain_ticks(axes.yaxis)
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
    figure, grid = wrapped_grid(len(panels), 4, (2.5, 2.3), (0, 0.7), sharey=True)
    handles: dict[str, Any] = {}
    for axes, panel in zip(grid, panels):
        x = np.arange(len(panel.ks))
        for name, shift, values, color, marker in (
            ("with against without the attribute", 0.05, panel.distance, BLUE, "o"),
            ("attribute shuffled", -0.05, panel.control, _REFERENCE, "D"),
        ):
            handles[name] = _line(axes, x + shift, values, (0, 1), color=color, marker=marker)
        axes.set_xticks(x, [str(k) for k in panel.ks])
        axes.set_title(panel.title, loc="left", fontsize=9.5)
        axes.set_ylim(-0.03, 1.03)
        axes.grid(axis="x", visible=False)
    _legend(figure, handles)
    figure.supxlabel("dimension k of the subspaces", fontsize=10)
    figure.supylabel("distance / √k", fontsize=10)
    return figure


@dataclass(frozen=True)
class ScatterPanel:
    """One measure against another, a point for each layer and condition.

    Attributes:
        x_label: The measure on the horizontal axis.
        y_label: The one on the vertical axis.
        groups: x and y of the points that share colour and marker, by their name.
        log_x: Whether the horizontal axis is logarithmic.
    """

    x_label: str
    y_label: str
    groups: Mapping[str, Sequence[Sequence[float]]]
    log_x: bool = False


def layer_scatter(panels: Sequence[ScatterPanel]) -> Figure:
    """Measures against each other; groups have one colour and marker in all panels."""
    figure, grid = wrapped_grid(len(panels), len(panels), (3.6, 3.9), (0, 0))
    handles: dict[str, Any] = {}
    for axes, panel in zip(grid, panels):
        for name, (x, y) in panel.groups.items():
            look = _look(name, handles)
            handles[name] = axes.scatter(x, y, s=18, alpha=0.75, linewidth=0, **look)
        if panel.log_x:
            axes.set_xscale("log")
            plain_ticks(axes.xaxis)
        axes.set_xlabel(panel.x_label)
        axes.set_ylabel(panel.y_label)
    _legend(figure, handles, "outside lower left")
    return figure


def correlation_intervals(panels: Mapping[str, Mapping[str, Mapping[str, Interval]]]) -> Figure:
    """Rank correlations with intervals.

    Args:
        panels: By title of the panel, name of the pair of measures, and name of the condition.
    """
    tallest = max(map(len, panels.values()))
    figure, grid = new_figure(
        5.2 * len(panels), 0.42 * tallest + 1.6, columns=len(panels), squeeze=False
    )
    handles: dict[str, Any] = {}
    for axes, (title, pairs) in zip(grid[0], panels.items()):
        axes.axvline(0, color=_REFERENCE, linestyle=":", linewidth=1)
        for row, entries in enumerate(pairs.values()):
            for index, (name, interval) in enumerate(entries.items()):
                y = row + 0.18 * (index - (len(entries) - 1) / 2)
                mean, ends = error_bars([interval], (-1, 1))
                look = _look(name, handles)
                handles[name] = axes.errorbar(
                    mean, [y], xerr=ends, linestyle="none", markersize=5, elinewidth=1.3, **look
                )
        axes.set_yticks(range(len(pairs)), list(pairs), fontsize=8.5)
        axes.set_ylim(len(pairs) - 0.5, -0.5)
        axes.set_xlim(-1.04, 1.04)
        axes.grid(axis="y", visible=False)
        axes.set_title(title, loc="left", fontsize=10)
    figure.supxlabel("Spearman's rank correlation", fontsize=10)
    _legend(figure, handles)
    return figure


def _look(name: str, handles: Mapping[str, Any]) -> dict[str, Any]:
    """Colour and marker of what is drawn under a name: as before, or the next ones."""
    index = [*handles, name].index(name)
    return {"color": _LEVELS[index % len(_LEVELS)], "marker": _MARKERS[index % len(_MARKERS)]}


def _legend(figure: Figure, handles: Mapping[str, Any], place: Any = "outside upper left") -> None:
    figure.legend(
        handles.values(),
        handles.keys(),
        loc=place,
        ncols=min(len(handles), 6),
        frameon=False,
        fontsize=9,
    )


def _line(
    axes: Axes, x: np.ndarray, values: Sequence[Interval], limits: tuple[float, float], **look: Any
):
    """Points with their intervals, joined by a line."""
    mean, ends = error_bars(values, limits)
    return axes.errorbar(
        x, mean, yerr=ends, markersize=4.5, linewidth=1.3, elinewidth=0.9, capsize=0, **look
    )
