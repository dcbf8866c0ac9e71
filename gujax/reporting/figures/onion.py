"""Figures of the privacy onion: who is exposed when the most exposed are gone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gujax.reporting.figures.comparison import Series
from gujax.reporting.style import color, new_figure

_LINES = ("--", "-", "-")


@dataclass(frozen=True)
class OnionPanel:
    """One panel: before, after removal by nats, after removal at random."""

    title: str
    y_label: str
    series: Sequence[Series]
    in_percent: bool = False


def onion_lines(panels: Sequence[Sequence[OnionPanel]], x_label: str) -> Figure:
    """A grid of panels with a line and band per way of removal; the legend is shared.

    Args:
        panels: Rows of panels; all have the same series.
        x_label: Of all panels.
    """
    figure, grid = _grid(panels, sharey=False)
    for axes_row, panel_row in zip(grid, panels):
        for axes, panel in zip(axes_row, panel_row):
            for line, style in zip(panel.series, _LINES):
                tint = color(line.family)
                axes.fill_between(line.x, line.low, line.high, color=tint, alpha=0.16, linewidth=0)
                axes.plot(
                    line.x,
                    line.mean,
                    style,
                    marker="o",
                    markersize=3.5,
                    color=tint,
                    linewidth=1.6,
                    label=line.label,
                )
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            _finish(axes, panel)
    return _with_legend(figure, grid, x_label)


def onion_bars(panels: Sequence[Sequence[OnionPanel]], x_label: str) -> Figure:
    """As `onion_lines`, with bars side by side and their intervals."""
    figure, grid = _grid(panels, sharey=True)
    for axes_row, panel_row in zip(grid, panels):
        for axes, panel in zip(axes_row, panel_row):
            width = 0.8 / len(panel.series)
            for index, bars in enumerate(panel.series):
                x = np.asarray(bars.x) + (index - (len(panel.series) - 1) / 2) * width
                mean = np.asarray(bars.mean)
                error = np.nan_to_num([mean - bars.low, bars.high - mean])
                axes.bar(
                    x,
                    mean,
                    width,
                    yerr=error,
                    color=color(bars.family),
                    label=bars.label,
                    error_kw={"elinewidth": 0.8, "ecolor": "#7a828c"},
                )
            axes.set_xticks(list(panel.series[0].x))
            axes.set_ylim(bottom=0)
            axes.grid(axis="x", visible=False)
            _finish(axes, panel)
    return _with_legend(figure, grid, x_label)


def _grid(panels: Sequence[Sequence[OnionPanel]], sharey: bool):
    rows, columns = len(panels), len(panels[0])
    return new_figure(
        3.7 * columns, 2.7 * rows + 0.7, rows, columns, sharex=True, sharey=sharey, squeeze=False
    )


def _finish(axes, panel: OnionPanel) -> None:
    axes.set_title(panel.title, fontsize=10.5)
    axes.set_ylabel(panel.y_label)
    if panel.in_percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1))


def _with_legend(figure: Figure, grid, x_label: str) -> Figure:
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.supxlabel(x_label, fontsize=10)
    return figure
