"""Figures of accuracy against attack success, over data sets and strengths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from experiments.report.style import color, markers, new_figure
from gujax.statistics import Interval

_PERCENT = FuncFormatter(lambda value, _: f"{100 * value:.4g}")  # the axis' label has the unit


@dataclass(frozen=True)
class TradeoffPanel:
    """One panel: accuracy and attack success of every defense, in the order of the legend."""

    title: str
    accuracy: Sequence[Interval]
    true_positive_rate: Sequence[Interval]
    false_positive_rate: float


def tradeoffs(
    labels: Sequence[str], families: Sequence[str], panels: Sequence[Sequence[TradeoffPanel]]
) -> Figure:
    """Accuracy against attack success: columns of panels share their accuracies.

    Args:
        labels: Names of the defenses.
        families: Family of each, which fixes its colour.
        panels: Rows of panels.
    """
    rows, columns = len(panels), len(panels[0])
    figure, grid = new_figure(
        2.7 * columns + 0.6, 2.6 * rows + 0.8, rows, columns, squeeze=False, sharey="col"
    )
    for axes_row, panel_row in zip(grid, panels):
        for axes, panel in zip(axes_row, panel_row):
            for label, family, marker, accuracy, tpr in zip(
                labels, families, markers(families), panel.accuracy, panel.true_positive_rate
            ):
                axes.errorbar(
                    tpr.mean,
                    accuracy.mean,
                    xerr=np.nan_to_num(tpr.half_width),
                    yerr=np.nan_to_num(accuracy.half_width),
                    fmt=marker,
                    color=color(family),
                    markersize=6,
                    elinewidth=1,
                    label=label,
                )
            axes.axvline(panel.false_positive_rate, color="#7a828c", linestyle=":", linewidth=1)
            axes.set_xlabel(f"TPR at {100 * panel.false_positive_rate:g} % FPR (%)")
            axes.set_xlim(left=0)  # no rate is negative, whatever the symmetric interval says
            axes.set_title(panel.title, fontsize=10.5)
            axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            axes.xaxis.set_major_formatter(_PERCENT)
            axes.yaxis.set_major_formatter(_PERCENT)
        axes_row[0].set_ylabel("test accuracy (%)")
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


@dataclass(frozen=True)
class FrontierLine:
    """One method: its settings, and what it gives away at given losses of accuracy.

    `labels` name the settings. `drops` and `rates` are the interpolated frontier; `settings` are
    (loss of accuracy, true-positive rate) pairs of the settings themselves.
    """

    label: str
    family: str
    labels: Sequence[str]
    settings: Sequence[tuple[float, float]]
    drops: Sequence[float]
    rates: Sequence[Interval]


def frontiers(
    lines: Sequence[FrontierLine], false_positive_rate: float, largest_drop: float
) -> Figure:
    """What each method gives away over the accuracy that it costs; the first line in each panel.

    Args:
        lines: One per panel; the first is what the others are compared with.
        false_positive_rate: Where the true-positive rates were read.
        largest_drop: Where the horizontal axis ends; settings that cost more are not shown.
    """
    figure, grid = new_figure(
        2.9 * len(lines) + 0.6, 3.4, 1, len(lines), sharex=True, sharey=True, squeeze=False
    )
    first = lines[0]
    for axes, line in zip(grid[0], lines):
        axes.axhline(false_positive_rate, color="#7a828c", linestyle=":", linewidth=1)
        if line is not first:
            axes.plot(
                first.drops, [rate.mean for rate in first.rates], color="#b4bac2", linewidth=1.4
            )
        tint = color(line.family)
        low, high = ([getattr(rate, end) for rate in line.rates] for end in ("low", "high"))
        axes.fill_between(line.drops, low, high, color=tint, alpha=0.18, linewidth=0)
        axes.plot(line.drops, [rate.mean for rate in line.rates], color=tint, linewidth=1.6)
        for (drop, rate), text in zip(line.settings, line.labels):
            axes.plot(drop, rate, "o", color=tint, markersize=5)
            axes.annotate(
                text,
                (drop, rate),
                (3, 5),
                textcoords="offset points",
                fontsize=8.5,
                color=tint,
            )
        axes.set_title(line.label, color=tint, fontsize=10.5)
        axes.xaxis.set_major_formatter(_PERCENT)
        axes.yaxis.set_major_formatter(_PERCENT)
    # Shared axes, so once for all, when every panel has its points.
    grid[0, 0].set_ylim(bottom=0)
    grid[0, 0].set_xlim(-0.05 * largest_drop, 1.1 * largest_drop)
    grid[0, 0].set_ylabel(f"TPR at {100 * false_positive_rate:g} % FPR (%)")
    figure.supxlabel("points of test accuracy given up against plain SGD", fontsize=10)
    return figure
