"""Figure of fronts: attack success over accuracy, one colour for each family."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from experiments.report.figures.series import Series, draw_crosses
from experiments.report.style import PERCENT, REFERENCE, wrapped_grid
from gujax.statistics import Interval


@dataclass(frozen=True)
class FrontPanel:
    """One family: its settings, and the line along the best of their mixtures.

    Attributes:
        line: Share of members found over accuracy.
        accuracy: Accuracy of each setting.
        found: Share found of each setting.
    """

    line: Series
    accuracy: Sequence[Interval]
    found: Sequence[Interval]


def fronts(panels: Sequence[FrontPanel], false_positive_rate: float) -> Figure:
    """One panel per family, the lines of all others behind it in grey."""
    shared = {"sharex": True, "sharey": True}
    figure, all_axes = wrapped_grid(len(panels), 4, (2.4, 2.5), (0.6, 0.4), **shared)
    for axes, panel in zip(all_axes, panels):
        axes.axhline(false_positive_rate, **REFERENCE)
        for other in panels:
            if other is not panel:
                axes.plot(other.line.x, other.line.mean, color="#b4bac2", linewidth=1)
        panel.line.draw(axes)
        look: dict[str, Any] = {"fmt": "o", "markersize": 4, "elinewidth": 0.8}
        draw_crosses(axes, panel.accuracy, panel.found, color=panel.line.color, **look)
        axes.set_title(panel.line.label, color=panel.line.color, fontsize=10.5)
        axes.xaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_major_formatter(PERCENT)
    all_axes[0].set_ylim(bottom=0)
    figure.supxlabel("test accuracy (%)", fontsize=10)
    figure.supylabel(f"found at {100 * false_positive_rate:g} % false positives (%)", fontsize=10)
    return figure
