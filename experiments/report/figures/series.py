"""Lines with bands, and what has a name and a colour."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes

from experiments.report.style import color, markers
from gujax.statistics import Interval


class Named(Protocol):
    """What figures tell apart by name and colour, such as a defense.

    Attributes:
        label: Its name.
        color: Its colour; those that share one differ in marker or line style.
    """

    @property
    def label(self) -> str: ...
    @property
    def color(self) -> str: ...


@dataclass(frozen=True)
class Series:
    """A line with its 95 % band: `mean`, `low`, `high` at the positions `x`, all `[points]`."""

    label: str
    color: str
    x: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]

    def draw(self, axes: Axes, style: str = "-o", tint: str | None = None, **line: Any) -> None:
        """Draws line and band.

        Args:
            axes: Where.
            style: Of line and markers.
            tint: Instead of the line's own colour.
            **line: Further arguments of `Axes.plot`.
        """
        tint = tint or color(self.color)
        axes.fill_between(self.x, self.low, self.high, color=tint, alpha=0.18, linewidth=0)
        look: dict[str, Any] = {"linewidth": 1.6, "markersize": 3.5, "label": self.label, **line}
        axes.plot(self.x, self.mean, style, color=tint, **look)


def draw_points(
    axes: Axes, named: Sequence[Named], x: Sequence[Interval], y: Sequence[Interval], **look: Any
) -> None:
    """A point with error bars in both directions for each of several things.

    Args:
        axes: Where.
        named: Names, of the legend, and colours; those that share one differ in marker.
        x: Horizontal positions.
        y: Vertical positions.
        **look: Further arguments of `Axes.errorbar`.
    """
    for one, marker, across, up in zip(named, markers([one.color for one in named]), x, y):
        axes.errorbar(
            across.mean,
            up.mean,
            xerr=np.nan_to_num(across.half_width),
            yerr=np.nan_to_num(up.half_width),
            fmt=marker,
            color=one.color,
            elinewidth=1,
            label=one.label,
            **look,
        )
