"""Curves within strata of another variable."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from experiments.report.figures.comparison import Series
from experiments.report.style import new_figure

# From light to dark: lowest to highest stratum.
_TINTS = ("#56B4E9", "#0072B2", "#222222")


@dataclass(frozen=True)
class StrataPanel:
    """One panel: a curve with its band for each of up to three strata, lowest first."""

    title: str
    strata: Sequence[Series]


def curves_by_stratum(
    panels: Sequence[Sequence[StrataPanel]],
    chance: float,
    x_label: str,
    y_label: str,
    legend_title: str,
) -> Figure:
    """A grid of panels, each with one line per stratum; the legend is shared.

    Args:
        panels: Rows of panels; all have the same strata.
        chance: What guessing reaches.
        x_label: Of all panels.
        y_label: Of all panels.
        legend_title: What the strata are of.
    """
    rows, columns = len(panels), len(panels[0])
    figure, grid = new_figure(
        2.7 * columns + 0.6,
        2.5 * rows + 0.8,
        rows,
        columns,
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for axes_row, panel_row in zip(grid, panels):
        for axes, panel in zip(axes_row, panel_row):
            axes.axhline(chance, color="#7a828c", linestyle=":", linewidth=1)
            for line, tint in zip(panel.strata, _TINTS):
                axes.fill_between(line.x, line.low, line.high, color=tint, alpha=0.15, linewidth=0)
                axes.plot(
                    line.x,
                    line.mean,
                    "-o",
                    color=tint,
                    linewidth=1.5,
                    markersize=3.2,
                    label=line.label,
                )
            axes.set_title(panel.title, fontsize=10)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        title=legend_title,
        loc="outside upper center",
        ncols=len(labels),
        frameon=False,
    )
    figure.supxlabel(x_label, fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    return figure
