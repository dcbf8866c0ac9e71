"""Figure of the privacy onion: who is exposed when the most exposed are gone."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from experiments.report.figures.series import Series
from experiments.report.style import grid, shared_legend

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
    size = 3.7 * len(panels[0]), 2.7 * len(panels) + 0.7
    figure, all_axes, pairs = grid(*size, panels, sharex=True)
    for axes, panel in pairs:
        for line, style in zip(panel.series, _LINES):
            line.draw(axes, f"{style}o")
        axes.set_title(panel.title, fontsize=10.5)
        axes.set_ylabel(panel.y_label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if panel.in_percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1))
    shared_legend(figure, all_axes[0, 0])
    figure.supxlabel(x_label, fontsize=10)
    return figure
