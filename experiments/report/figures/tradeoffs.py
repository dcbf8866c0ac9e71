"""Figures of accuracy against attack success, over data sets and strengths."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.report.figures.series import Named, Series, draw_points
from experiments.report.style import PERCENT, REFERENCE, grid, shared_legend
from gujax.statistics import Interval


@dataclass(frozen=True)
class TradeoffPanel:
    """One panel: accuracy and attack success of every defense, in the order of the legend."""

    title: str
    accuracy: Sequence[Interval]
    true_positive_rate: Sequence[Interval]
    false_positive_rate: float


def tradeoffs(defenses: Sequence[Named], panels: Sequence[Sequence[TradeoffPanel]]) -> Figure:
    """Accuracy against attack success; panels of a column share their accuracies."""
    figure, all_axes, pairs = grid(panels, (2.7, 2.6), (0.6, 0.8), sharey="col")
    for axes, panel in pairs:
        draw_points(axes, defenses, panel.true_positive_rate, panel.accuracy, markersize=6)
        axes.axvline(panel.false_positive_rate, **REFERENCE)
        axes.set_xlabel(f"TPR at {100 * panel.false_positive_rate:g} % FPR (%)")
        axes.set_xlim(left=0)  # no rate is negative, whatever the symmetric interval says
        axes.set_title(panel.title, fontsize=10.5)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_major_formatter(PERCENT)
    for axes in all_axes[:, 0]:
        axes.set_ylabel("test accuracy (%)")
    shared_legend(figure, all_axes[0, 0], "lower")
    return figure


@dataclass(frozen=True)
class FrontierLine:
    """One method: its settings, and what it gives away at given losses of accuracy.

    Attributes:
        frontier: True-positive rates over losses of accuracy, interpolated between settings.
        labels: Names of the settings.
        settings: Their (loss of accuracy, true-positive rate) pairs.
    """

    frontier: Series
    labels: Sequence[str]
    settings: Sequence[tuple[float, float]]


def frontiers(
    lines: Sequence[FrontierLine], false_positive_rate: float, largest_drop: float
) -> Figure:
    """What each method gives away over the accuracy that it costs; the first line in each panel.

    Settings that cost more than `largest_drop` are not shown.
    """
    figure, all_axes, pairs = grid([lines], (2.9, 3.4), (0.6, 0.0), sharex=True, sharey=True)
    first = lines[0].frontier
    for axes, line in pairs:
        axes.axhline(false_positive_rate, **REFERENCE)
        if line.frontier is not first:
            axes.plot(first.x, first.mean, color="#b4bac2", linewidth=1.4)
        tint = line.frontier.color
        line.frontier.draw(axes)
        # Neighbours have their names on opposite sides.
        sides = itertools.cycle([((3, 5), "left", "bottom"), ((-3, -5), "right", "top")])
        for (place, text), side in zip(sorted(zip(line.settings, line.labels)), sides):
            offset, ha, va = side
            axes.plot(*place, "o", color=tint, markersize=5)
            axes.annotate(
                text,
                place,
                offset,
                textcoords="offset points",
                fontsize=8.5,
                color=tint,
                ha=ha,
                va=va,
            )
        axes.set_title(line.frontier.label, color=tint, fontsize=10.5)
        axes.xaxis.set_major_formatter(PERCENT)
        axes.yaxis.set_major_formatter(PERCENT)
    # Shared axes, so once for all, when every panel has its points.
    all_axes[0, 0].set_ylim(bottom=0)
    all_axes[0, 0].set_xlim(-0.05 * largest_drop, 1.1 * largest_drop)
    all_axes[0, 0].set_ylabel(f"TPR at {100 * false_positive_rate:g} % FPR (%)")
    figure.supxlabel("points of test accuracy given up against plain SGD", fontsize=10)
    return figure
