"""Bars side by side with their intervals, in a grid of panels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.report.figures.series import error_bars
from experiments.report.style import REFERENCE, grid, shared_legend
from gujax.statistics import Interval


@dataclass(frozen=True)
class Bars:
    """One bar per category, all of one colour."""

    label: str
    tint: str
    intervals: Sequence[Interval]


@dataclass(frozen=True)
class BarPanel:
    """Several `Bars` over the same categories.

    Attributes:
        y_label: What bars show; that of a row's first panel is drawn.
        in_percent: Whether values are shares.
        reference: Height of a dotted line, such as what guessing reaches; where bars begin.
    """

    title: str
    y_label: str
    bars: Sequence[Bars]
    in_percent: bool = False
    reference: float = 0.0


def bar_panels(
    panels: Sequence[Sequence[BarPanel]],
    categories: Sequence[str],
    x_label: str = "",
    share_y: bool = True,
) -> Figure:
    """A grid of panels over the same categories; the legend of the first is that of all.

    The panels of a row have one scale if `share_y`.
    """
    columns = len(panels[0])
    # Names stay upright where the panel need not grow too wide for it.
    longest = 0.1 * max(map(len, categories))
    upright = len(categories) * longest < 6
    wide = max(3.7, len(categories) * max(0.42, longest if upright else 0))
    legend = 1.6 * max(len(panel_row[0].bars) for panel_row in panels)
    margin = max(0, legend - wide * columns), 0.7
    shared = {"sharex": True, "sharey": "row" if share_y else False}
    figure, all_axes, pairs = grid(panels, (wide, 2.7), margin, **shared)
    for axes, panel in pairs:
        _draw(axes, panel)
        axes.set_title(panel.title, fontsize=10.5)
        axes.set_xticks(range(len(categories)), categories, rotation=0 if upright else 90)
    for axes, panel_row in zip(all_axes[:, 0], panels):
        axes.set_ylabel(panel_row[0].y_label)
    shared_legend(figure, all_axes[0, 0])
    figure.supxlabel(x_label, fontsize=10)
    return figure


def _draw(axes, panel: BarPanel) -> None:
    width = 0.8 / len(panel.bars)
    axes.axhline(panel.reference, **REFERENCE)
    for index, bars in enumerate(panel.bars):
        mean, ends = error_bars(bars.intervals)
        shift = (index - (len(panel.bars) - 1) / 2) * width
        axes.bar(
            np.arange(len(mean)) + shift,
            mean - panel.reference,
            width,
            bottom=panel.reference,
            yerr=ends,
            color=bars.tint,
            label=bars.label,
            error_kw={"elinewidth": 0.9, "ecolor": "#555b63"},
        )
    axes.grid(axis="x", visible=False)
    if panel.in_percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
