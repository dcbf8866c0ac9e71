"""Predicted attacks against achieved ones, one point per setting."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from experiments.report.style import new_figure
from gujax.statistics import Interval


@dataclass(frozen=True)
class PredictedPoint:
    """One setting: what was predicted and what was achieved, with intervals."""

    label: str
    predicted: Interval
    achieved: Interval


@dataclass(frozen=True)
class PredictedPanel:
    """One measure of the attack.

    Attributes:
        title: what it is.
        groups: name and colour of each group, and its points.
        logarithmic: whether both axes are.
        allowed: what counts as agreement: an offset or, where logarithmic, a factor.
    """

    title: str
    groups: Sequence[tuple[str, str, Sequence[PredictedPoint]]]
    logarithmic: bool
    allowed: float


def predicted_attacks(panels: Sequence[PredictedPanel], x_label: str, y_label: str) -> Figure:
    """One panel per measure, with the line of agreement and the band that counts as such."""
    figure, grid = new_figure(4.6 * len(panels), 4.9, 1, len(panels), squeeze=False)
    for axes, panel in zip(grid.flat, panels):
        ends = [
            end
            for _, _, points in panel.groups
            for point in points
            for end in (*point.predicted, *point.achieved)
            if np.isfinite(end) and (end > 0 or not panel.logarithmic)
        ]
        low, high = (min(ends), max(ends)) if ends else (0.5, 1.0)
        if panel.logarithmic:
            low, high = low / 1.3, high * 1.3
            line = np.geomspace(low, high, 50)
            band = line / panel.allowed, line * panel.allowed
            axes.set_xscale("log")
            axes.set_yscale("log")
        else:
            low, high = low - 0.02, high + 0.02
            line = np.linspace(low, high, 50)
            band = line - panel.allowed, line + panel.allowed
        axes.plot(line, line, color="#7a828c", linewidth=1, linestyle=":")
        axes.fill_between(line, *band, color="#7a828c", alpha=0.13, linewidth=0)
        for (name, color, points), marker in zip(panel.groups, "osD^"):
            axes.errorbar(
                [point.achieved.mean for point in points],
                [point.predicted.mean for point in points],
                xerr=_around([point.achieved for point in points]),
                yerr=_around([point.predicted for point in points]),
                fmt=marker,
                color=color,
                markersize=4.5,
                elinewidth=0.9,
                label=name,
            )
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_title(panel.title, fontsize=10.5)
        axes.legend(loc="upper left", frameon=False, fontsize=8.5)
        axes.set_box_aspect(1)
    figure.supxlabel(x_label, fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    return figure


def _around(intervals: Sequence[Interval]) -> np.ndarray:
    """Lengths of the error bars to both sides, [2, points]."""
    ends = [[one.mean - one.low, one.high - one.mean] for one in intervals]
    return np.maximum(np.nan_to_num(np.array(ends).reshape(-1, 2)), 0).T
