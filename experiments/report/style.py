"""Colours, markers and the common look of every figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, StrMethodFormatter

# Okabe and Ito's palette: told apart with every common colour-vision deficiency.
BLACK, BLUE, SKY, GREEN, VERMILION, PINK = (
    "#222222",
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#D55E00",
    "#CC79A7",
)
COLORS = {  # measures of uniqueness
    "exact": BLUE,
    "dataset": GREEN,
    "diagonal": VERMILION,
    "norm": BLACK,
}
GREY = "#7a828c"
REFERENCE: dict[str, Any] = {
    "color": GREY,
    "linestyle": ":",
    "linewidth": 1,
}  # lines such as chance
PERCENT = FuncFormatter(lambda value, _: f"{100 * value:.6g}")  # the axis' label has the unit
_MARKERS = "osD^vP"

_RC: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e6ea",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "svg.hashsalt": "gujax",  # the same figure gives the same file
}


def color(name: str) -> str:
    """The colour of a measure; what is a colour stays one, and what is unknown is grey."""
    return name if name.startswith("#") else COLORS.get(name, GREY)


def markers(colors: Sequence[str]) -> list[str]:
    """One marker per entry: those that share a colour differ in marker."""
    return [_MARKERS[colors[:index].count(c) % len(_MARKERS)] for index, c in enumerate(colors)]


def new_figure(width: float = 7.2, height: float = 4.4, rows: int = 1, columns: int = 1, **options):
    """A figure and its axes in the common look, without touching matplotlib's global state.

    Sizes are in inches; options are those of `Figure.subplots`, such as `sharey`. Returns one axes
    object or, where there are several, an array of them.
    """
    with mpl.rc_context(_RC):
        drawn = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(drawn)
        axes = drawn.subplots(rows, columns, **options)
    return drawn, axes


def legend_beside(axes: Axes) -> None:
    """A legend to the right of the axes, where it covers nothing."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def grid(
    panels: Sequence[Sequence[Any]],
    panel: tuple[float, float],
    margin: tuple[float, float],
    **options,
):
    """A figure with one axes object per panel of a grid, see `new_figure`.

    Args:
        panels: Rows of panels.
        panel: Width and height of each, in inches.
        margin: What the figure has beyond them.
        **options: Further arguments of `Figure.subplots`.

    Returns:
        The figure; its axes, [rows, columns]; and pairs of axes and panel.
    """
    rows, columns = len(panels), len(panels[0])
    size = panel[0] * columns + margin[0], panel[1] * rows + margin[1]
    drawn, axes = new_figure(*size, rows, columns, squeeze=False, **options)
    return drawn, axes, [pair for row in zip(axes, panels) for pair in zip(*row)]


def wrapped_grid(
    count: int, columns: int, size: tuple[float, float], extra: tuple[float, float], **options
) -> tuple[Figure, Sequence[Axes]]:
    """A figure and the axes of so many panels, in rows of at most so many, see `new_figure`.

    Args:
        count: Number of panels.
        columns: Panels side by side.
        size: Width and height of a panel, inches.
        extra: Width and height beside them, as for a legend.
        **options: Further arguments of `Figure.subplots`.
    """
    columns = min(count, columns)
    rows = -(-count // columns)
    width, height = size[0] * columns + extra[0], size[1] * rows + extra[1]
    drawn, axes = new_figure(width, height, rows, columns, squeeze=False, **options)
    for unused in axes.flat[count:]:
        unused.set_visible(False)
    for lowest in axes.flat[max(0, count - columns) : count]:
        lowest.tick_params(labelbottom=True)  # where the last row is not full, nothing is below
    return drawn, axes.flat[:count]


def plain_ticks(axis: Axis) -> None:
    """Numbers without exponents on a logarithmic axis; some between the decades if it is short."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def shared_legend(drawn: Figure, axes: Axes, place: str = "upper", **options: Any) -> None:
    """One legend for all panels, "upper" or "lower", with the entries of one of them."""
    handles, labels = axes.get_legend_handles_labels()
    where: Any = f"outside {place} center"
    longest = 0.085 * max(map(len, labels), default=0) + 0.5  # inches
    ncols = max(1, min(len(labels), int(drawn.get_figwidth() / longest)))
    drawn.legend(handles, labels, loc=where, ncols=ncols, frameon=False, **options)


def save(drawn: Figure, path: Path) -> Path:
    """Writes the figure as `path`.png and `path`.svg; returns the SVG, which reports inline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_RC):
        drawn.savefig(path.with_suffix(".png"), dpi=160)
        drawn.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    return path.with_suffix(".svg")
