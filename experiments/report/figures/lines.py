"""Lines with their bands, in a grid of panels."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from experiments.report.figures.series import Series
from experiments.report.style import REFERENCE, grid, shared_legend


@dataclass(frozen=True)
class LinePanel:
    """One panel; `in_percent` says that its lines are shares."""

    title: str
    lines: Sequence[Series]
    y_label: str = ""
    in_percent: bool = False


def line_panels(
    panels: Sequence[Sequence[LinePanel]],
    x_label: str,
    y_label: str = "",
    reference: float | None = None,
    share_y: bool = False,
    legend_title: str | None = None,
) -> Figure:
    """A grid of panels over one variable, with the same lines and one legend.

    Args:
        panels: Rows of panels.
        x_label: Of all panels.
        y_label: Of all panels, where they have none of their own.
        reference: Height of a dotted line, such as what guessing reaches.
        share_y: Whether all panels have one scale.
        legend_title: What the lines are of.
    """
    figure, all_axes, pairs = grid(panels, (3.3, 2.6), (0.6, 0.7), sharex=True, sharey=share_y)
    for axes, panel in pairs:
        if reference is not None:
            axes.axhline(reference, **REFERENCE)
        for line in panel.lines:
            line.draw(axes)
        axes.set_title(panel.title, fontsize=10.5)
        axes.set_ylabel(panel.y_label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if panel.in_percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1))
    shared_legend(figure, all_axes[0, 0], title=legend_title)
    figure.supxlabel(x_label, fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    return figure
