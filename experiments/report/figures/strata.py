"""Curves within strata of another variable."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from experiments.report.figures.series import Series
from experiments.report.style import BLACK, BLUE, SKY, grid, shared_legend

# From light to dark: lowest to highest stratum.
_TINTS = (SKY, BLUE, BLACK)


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
    size = 2.7 * len(panels[0]) + 0.6, 2.5 * len(panels) + 0.8
    figure, all_axes, pairs = grid(*size, panels, sharex=True, sharey=True)
    for axes, panel in pairs:
        axes.axhline(chance, color="#7a828c", linestyle=":", linewidth=1)
        for line, tint in zip(panel.strata, _TINTS):
            line.draw(axes, tint=tint)
        axes.set_title(panel.title, fontsize=10)
    shared_legend(figure, all_axes[0, 0], title=legend_title)
    figure.supxlabel(x_label, fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    return figure
