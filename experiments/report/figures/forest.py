"""Effects with their intervals, one below the other, and the mean over all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from experiments.report.figures.series import error_bars
from experiments.report.style import BLACK, BLUE, REFERENCE, VERMILION, grid
from gujax.statistics import Interval

_ROW = 0.24  # inches
_BEYOND = 1.25  # axis over the farthest mean or, if that is farther, over the typical end


@dataclass(frozen=True)
class ForestRow:
    """One setting; without an interval where it has no such effect."""

    label: str
    interval: Interval | None


@dataclass(frozen=True)
class ForestPanel:
    """One effect: its title has the unit, `pooled` is the mean over the rows."""

    title: str
    rows: Sequence[ForestRow]
    pooled: Interval


def forest(panels: Sequence[ForestPanel]) -> Figure:
    """A forest plot: panels side by side with the same rows, the mean over them below.

    Colours tell the sign of what lies clear of zero: blue above, vermilion below. Intervals of few
    seeds may reach beyond the axis.
    """
    names = [row.label for row in panels[0].rows]
    height = _ROW * (len(names) + 2)
    figure, _, pairs = grid([panels], (3.0, height), (1.8, 0.9), sharey=True)
    for axes, panel in pairs:
        axes.axvline(0, **REFERENCE)
        known = [(y, row.interval) for y, row in enumerate(panel.rows) if row.interval is not None]
        for y, interval in known:
            mean, ends = error_bars([interval])
            tint = _tint(interval)
            axes.errorbar(mean, [y], xerr=ends, fmt="o", color=tint, markersize=4, elinewidth=1.1)
        bottom = len(names) + 0.5
        low, high = np.nan_to_num(panel.pooled[1:], nan=panel.pooled.mean)
        corners = [low, panel.pooled.mean, high, panel.pooled.mean]
        axes.fill(corners, bottom + np.array([0, -0.3, 0, 0.3]), color=_tint(panel.pooled))
        axes.set_yticks([*range(len(names)), bottom], [*names, "mean"], fontsize=8.5)
        axes.set_ylim(bottom + 0.8, -0.7)
        axes.set_xlim(*_limits([interval for _, interval in known] + [panel.pooled]))
        axes.grid(axis="y", visible=False)
        axes.set_title(panel.title, fontsize=9.5)
    return figure


def _tint(interval: Interval) -> str:
    return BLUE if interval.low > 0 else VERMILION if interval.high < 0 else BLACK


def _limits(intervals: Sequence[Interval]) -> tuple[float, float]:
    """An axis about zero that shows every mean and most intervals."""
    means = np.abs([interval.mean for interval in intervals])
    ends = np.abs([interval[1:] for interval in intervals])
    typical = np.nanmedian(ends) if np.isfinite(ends).any() else 0.0
    reach = _BEYOND * max(means.max(), typical) or 1.0
    return -reach, reach
