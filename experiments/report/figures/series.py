"""Lines with bands, and what has a name and a colour."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from experiments.report.style import color, markers
from gujax.statistics import Interval


class Named(Protocol):
    """What has a name and a colour, such as a defense; those that share one differ in marker."""

    @property
    def label(self) -> str: ...
    @property
    def color(self) -> str: ...


@dataclass(frozen=True)
class Series:
    """A line with its 95 % band: intervals at the positions `x`, in matplotlib's `style`."""

    label: str
    x: Sequence[float]
    y: Sequence[Interval]
    color: str = ""
    style: str = "-o"

    @property
    def mean(self) -> list[float]:
        """The line without its band."""
        return [interval.mean for interval in self.y]

    def draw(self, axes: Axes) -> None:
        """Draws line and band."""
        tint = color(self.color)
        low, high = np.reshape([(i.low, i.high) for i in self.y], (-1, 2)).T
        axes.fill_between(self.x, low, high, color=tint, alpha=0.18, linewidth=0)
        look: dict[str, Any] = {"linewidth": 1.6, "markersize": 3.5, "label": self.label}
        axes.plot(self.x, self.mean, self.style, color=tint, **look)


def error_bars(
    intervals: Sequence[Interval], limits: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "2 n"]]:
    """Means, and how far bars reach below and above them: 0 where that is unknown.

    Args:
        limits: Least and greatest value that can be; bars end there.
    """
    mean, *ends = np.array(intervals, float).reshape(-1, 3).T
    low, high = np.clip(ends, *limits)
    return mean, np.maximum(np.nan_to_num(np.stack([mean - low, high - mean])), 0)


def draw_crosses(axes: Axes, x: Sequence[Interval], y: Sequence[Interval], **look: Any) -> None:
    """Points with error bars in both directions."""
    (across, x_bars), (up, y_bars) = map(error_bars, (x, y))
    axes.errorbar(across, up, xerr=x_bars, yerr=y_bars, **look)


def draw_points(
    axes: Axes, named: Sequence[Named], x: Sequence[Interval], y: Sequence[Interval], **look: Any
) -> None:
    """A point with error bars in both directions for each of several things."""
    for one, marker, across, up in zip(named, markers([one.color for one in named]), x, y):
        its: dict[str, Any] = {"fmt": marker, "color": one.color, "label": one.label}
        draw_crosses(axes, [across], [up], elinewidth=1, **its, **look)
