"""Figures of what steps cost."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from experiments.report.formats import significant
from experiments.report.style import new_figure

_KIND_COLORS = {"plain": "#222222", "gujax": "#0072B2", "jax": "#7a828c", "torch": "#D55E00"}
_KIND_NAMES = {"plain": "plain step", "gujax": "gujax", "jax": "others in JAX", "torch": "PyTorch"}


@dataclass(frozen=True)
class CostPanel:
    """Costs of several methods on one model.

    Attributes:
        title: The model.
        labels: Names of the methods.
        kinds: "plain", "gujax", "jax" or "torch" for each, which fixes its colour.
        costs: (lower quartile, median, upper quartile) of each; None where nothing was measured.
        remarks: What to write where nothing was measured.
    """

    title: str
    labels: Sequence[str]
    kinds: Sequence[str]
    costs: Sequence[tuple[float, float, float] | None]
    remarks: Sequence[str]


def method_costs(panels: Sequence[CostPanel], x_label: str, reference: float | None) -> Figure:
    """Costs of methods on a logarithmic axis, one panel per model; `reference` marks a value."""
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    most = max(len(panel.labels) for panel in panels)
    size = 4.6 * columns + 1.2, rows * (0.24 * most + 0.75) + 0.5
    figure, grid = new_figure(*size, rows, columns, squeeze=False)
    for axes, panel in zip(grid.flat, panels):
        positions = range(len(panel.labels))
        axes.set_xscale("log")
        if reference is not None:
            axes.axvline(reference, color="#7a828c", linestyle=":", linewidth=1)
        for y, kind, cost, remark in zip(positions, panel.kinds, panel.costs, panel.remarks):
            tint = _KIND_COLORS[kind]
            if cost is None:
                place = axes.get_yaxis_transform()
                axes.text(0.02, y, remark, transform=place, va="center", color=tint, fontsize=8.5)
                continue
            low, median, high = cost
            axes.plot((low, high), (y, y), color=tint, linewidth=1.4, solid_capstyle="butt")
            axes.plot(median, y, "o", color=tint, markersize=5)
            axes.annotate(
                significant(median),
                (high, y),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                color=tint,
                fontsize=8.5,
            )
        axes.set_yticks(positions, panel.labels)
        axes.set_ylim(len(panel.labels) - 0.5, -0.5)
        axes.margins(x=0.22)
        left, right = axes.get_xlim()
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if right < 30 * left else (1,)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y", visible=False)
        axes.set_title(panel.title, loc="left", fontsize=10)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    kinds = dict.fromkeys(kind for panel in panels for kind in panel.kinds)
    handles = [
        Line2D([], [], color=_KIND_COLORS[kind], marker="o", label=_KIND_NAMES[kind])
        for kind in kinds
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False)
    figure.supxlabel(x_label, fontsize=10)
    return figure


@dataclass(frozen=True)
class GrowthPanel:
    """Costs over one size.

    Attributes:
        title: The model.
        x_label: What is varied.
        sizes: Its values.
        curves: For each quantity its name, its kind as in `CostPanel`, the measured (lower
            quartile, median, upper quartile) at every size, and what is predicted there, in any
            unit.
    """

    title: str
    x_label: str
    sizes: Sequence[int]
    curves: Sequence[tuple[str, str, Sequence[tuple[float, float, float]], Sequence[float]]]


def cost_growth(panels: Sequence[GrowthPanel], y_label: str) -> Figure:
    """Measured costs with predicted ones, scaled to the same geometric mean, on log axes."""
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    figure, grid = new_figure(4.0 * columns, 3.1 * rows + 0.4, rows, columns, squeeze=False)
    handles = []
    for axes, panel in zip(grid.flat, panels):
        axes.set(xscale="log", yscale="log")
        for name, kind, measured, predicted in panel.curves:
            tint = _KIND_COLORS[kind]
            low, median, high = np.asarray(measured).T
            scale = np.exp(np.mean(np.log(median) - np.log(predicted)))
            axes.plot(panel.sizes, scale * np.asarray(predicted), "--", color=tint, linewidth=1)
            drawn = axes.errorbar(
                panel.sizes, median, (median - low, high - median), fmt="o", color=tint, label=name
            )
            if axes is grid.flat[0]:
                handles.append(drawn)
        axes.set_xticks(list(panel.sizes), [str(size) for size in panel.sizes])
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.set_xlabel(panel.x_label)
        axes.set_title(panel.title, loc="left", fontsize=10)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    handles.append(Line2D([], [], linestyle="--", color="#7a828c", label="predicted growth"))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False)
    figure.supylabel(y_label, fontsize=10)
    return figure
