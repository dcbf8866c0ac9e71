"""Lines with bands, and what has a name and a colour."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from matplotlib.axes import Axes

from experiments.report.style import color


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
