"""Figure of the privacy onion: who is exposed when the most exposed are gone."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from experiments.report.figures.comparison import Series
from experiments.report.style import color, new_figure

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
    rows, columns = len(panels), len(panels[0])
    figure, grid = new_figure(
        3.7 * columns, 2.7 * rows + 0.7, rows, columns, sharex=True, squeeze=False
    )
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
            axes.set_title(panel.title, fontsize=10.5)
            axes.set_ylabel(panel.y_label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if panel.in_percent:
                axes.yaxis.set_major_formatter(PercentFormatter(1))
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.supxlabel(x_label, fontsize=10)
    return figure
