"""Figures of what steps cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, StrMethodFormatter

from experiments.report.formats import significant
from experiments.report.style import GREY, REFERENCE, plain_ticks, wrapped_grid

_KIND_COLORS = {"plain": "#222222", "gujax": "#0072B2", "jax": GREY, "torch": "#D55E00"}
_KIND_NAMES = {"plain": "plain step", "gujax": "gujax", "jax": "others in JAX", "torch": "PyTorch"}


class Cost(NamedTuple):
    """What one method costs.

    Attributes:
        kind: "plain", "gujax", "jax" or "torch", which fixes its colour.
        quartiles: Lower quartile, median and upper quartile; None where nothing was measured.
        remark: What to write where nothing was measured.
    """

    label: str
    kind: str
    quartiles: tuple[float, float, float] | None
    remark: str = ""


def method_costs(
    panels: Mapping[str, Sequence[Cost]], x_label: str, reference: float | None
) -> Figure:
    """Costs of methods on a logarithmic axis, one panel per model; `reference` marks a value."""
    most = max(map(len, panels.values()))
    figure, grid = wrapped_grid(len(panels), 2, (4.6, 0.24 * most + 0.75), (1.2, 0.5))
    for axes, (title, costs) in zip(grid, panels.items()):
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xscale("log")
        if reference is not None:
            axes.axvline(reference, **REFERENCE)
        for y, cost in enumerate(costs):
            tint = _KIND_COLORS[cost.kind]
            if cost.quartiles is None:
                place = axes.get_yaxis_transform()
                axes.text(0.02, y, cost.remark, transform=place, va="center", color=tint, size=8.5)
                continue
            low, median, high = cost.quartiles
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
        axes.set_yticks(range(len(costs)), [cost.label for cost in costs])
        axes.set_ylim(len(costs) - 0.5, -0.5)
        axes.margins(x=0.22)
        plain_ticks(axes.xaxis)
        axes.grid(axis="y", visible=False)
    handles = [
        Line2D([], [], color=_KIND_COLORS[kind], marker="o", label=_KIND_NAMES[kind])
        for kind in dict.fromkeys(cost.kind for costs in panels.values() for cost in costs)
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False)
    figure.supxlabel(x_label, fontsize=10)
    return figure


@dataclass(frozen=True)
class GrowthPanel:
    """Costs over one size, which `x_label` names.

    Attributes:
        curves: For each quantity its name, its kind as in `Cost`, the measured (lower quartile,
            median, upper quartile) at every size, and what is predicted there, in any unit.
    """

    title: str
    x_label: str
    sizes: Sequence[int]
    curves: Sequence[tuple[str, str, Sequence[tuple[float, float, float]], Sequence[float]]]


def cost_growth(panels: Sequence[GrowthPanel], y_label: str) -> Figure:
    """Measured costs with predicted ones, scaled to the same geometric mean, on log axes."""
    figure, grid = wrapped_grid(len(panels), 2, (4.0, 3.1), (0.0, 0.4))
    handles: list[Any] = []
    for axes, panel in zip(grid, panels):
        axes.set_title(panel.title, loc="left", fontsize=10)
        axes.set(xscale="log", yscale="log")
        for name, kind, measured, predicted in panel.curves:
            tint = _KIND_COLORS[kind]
            low, median, high = np.asarray(measured).T
            scale = np.exp(np.mean(np.log(median) - np.log(predicted)))
            axes.plot(panel.sizes, scale * np.asarray(predicted), "--", color=tint, linewidth=1)
            drawn = axes.errorbar(
                panel.sizes, median, (median - low, high - median), fmt="o", color=tint, label=name
            )
            if panel is panels[0]:
                handles.append(drawn)
        axes.set_xticks(list(panel.sizes), [str(size) for size in panel.sizes])
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.set_xlabel(panel.x_label)
    handles.append(Line2D([], [], linestyle="--", color=GREY, label="predicted growth"))
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False)
    figure.supylabel(y_label, fontsize=10)
    return figure
