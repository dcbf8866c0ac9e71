"""Predicted attacks against achieved ones, one point per setting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.report.figures.series import draw_crosses
from experiments.report.style import new_figure
from gujax.statistics import Interval


@dataclass(frozen=True)
class PredictedPanel:
    """One measure of the attack.

    Attributes:
        title: what it is.
        groups: name and colour of each group, what its settings achieved, and what was predicted.
        logarithmic: whether both axes are.
        allowed: what counts as agreement: an offset or, where logarithmic, a factor.
    """

    title: str
    groups: Sequence[tuple[str, str, Sequence[Interval], Sequence[Interval]]]
    logarithmic: bool
    allowed: float


def predicted_attacks(panels: Sequence[PredictedPanel], x_label: str, y_label: str) -> Figure:
    """One panel per measure, with the line of agreement and the band that counts as such."""
    figure, grid = new_figure(4.6 * len(panels), 4.9, 1, len(panels), squeeze=False)
    for axes, panel in zip(grid.flat, panels):
        ends = [
            end
            for _, _, achieved, predicted in panel.groups
            for interval in (*achieved, *predicted)
            for end in interval
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
        for (name, color, achieved, predicted), marker in zip(panel.groups, "osD^"):
            look: dict[str, Any] = {"fmt": marker, "color": color, "markersize": 4.5}
            draw_crosses(axes, achieved, predicted, elinewidth=0.9, label=name, **look)
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_title(panel.title, fontsize=10.5)
        axes.legend(loc="upper left", frameon=False, fontsize=8.5)
        axes.set_box_aspect(1)
    figure.supxlabel(x_label, fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    return figure
