"""Predicted against achieved, beside the line where they agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from experiments.report.style import new_figure
from gujax.statistics import Interval

_TINTS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#222222")


@dataclass(frozen=True)
class Agreement:
    """Points of one colour: predictions, and what was achieved, with its interval."""

    label: str
    predicted: Sequence[float]
    achieved: Sequence[Interval]


def agreement(
    panels: Sequence[tuple[str, Sequence[Agreement]]], x_label: str, y_label: str
) -> Figure:
    """One panel per attacker, each with the identity.

    Args:
        panels: Title and up to five sets of points each.
        x_label: Of all panels.
        y_label: Of all panels.
    """
    figure, grid = new_figure(
        3.4 * len(panels) + 0.4, 4.3, 1, len(panels), sharex=True, sharey=True, squeeze=False
    )
    for axes, (title, sets) in zip(grid.flat, panels):
        axes.plot([0.5, 1], [0.5, 1], color="#7a828c", linewidth=1, linestyle=":")
        for points, tint, marker in zip(sets, _TINTS, "osD^v"):
            mean = np.array([interval.mean for interval in points.achieved])
            ends = np.array([[i.mean - i.low, i.high - i.mean] for i in points.achieved]).T
            axes.errorbar(
                points.predicted,
                mean,
                yerr=np.nan_to_num(ends),
                fmt=marker,
                color=tint,
                markersize=4.5,
                elinewidth=1,
                label=points.label,
            )
        axes.set_title(title, fontsize=10.5)
        axes.legend(loc="upper left", frameon=False, fontsize=8.5)
        axes.set_box_aspect(1)
    # Intervals of few seeds are wide; no AUC is above 1.
    lowest = min(i.mean for _, sets in panels for points in sets for i in points.achieved)
    grid.flat[0].set_ylim(min(0.45, lowest - 0.05), 1.03)
    figure.supxlabel(x_label, fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    return figure
