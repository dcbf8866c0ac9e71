"""Figure of fronts: attack success over accuracy, one colour for each family."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments.report.figures.series import Series, error_bars
from experiments.report.style import REFERENCE, wrapped_grid
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
        (x, x_bars), (y, y_bars) = map(error_bars, (panel.accuracy, panel.found))
        axes.errorbar(
            x,
            y,
            xerr=x_bars,
            yerr=y_bars,
            fmt="o",
            color=panel.line.color,
            markersize=4,
            elinewidth=0.8,
        )
        axes.set_title(panel.line.label, color=panel.line.color, fontsize=10.5)
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
    all_axes[0].set_ylim(bottom=0)
    figure.supxlabel("test accuracy (%)", fontsize=10)
    figure.supylabel(f"found at {100 * false_positive_rate:g} % false positives (%)", fontsize=10)
    return figure


def _percent(share: float, position: int) -> str:
    return f"{100 * share:.6g}"
