"""Colours, markers and the common look of every figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with every common colour-vision deficiency.
COLORS = {
    "sgd": "#222222",
    "gate": "#0072B2",
    "clip": "#56B4E9",
    "budget": "#CC79A7",
    "censor": "#D55E00",
    "dp_sgd": "#009E73",
    "chance": "#0072B2",  # removal at random
    # Measures of uniqueness.
    "exact": "#0072B2",
    "dataset": "#009E73",
    "diagonal": "#D55E00",
    "norm": "#222222",
}
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


def color(family: str) -> str:
    """Colour of a family of defenses or measures; grey for one the palette does not know."""
    return COLORS.get(family, "#7a828c")


def markers(families: Sequence[str]) -> list[str]:
    """One marker per entry: members of one family share a colour and differ in marker."""
    seen: dict[str, int] = {}
    chosen = []
    for family in families:
        index = seen.get(family, 0)
        seen[family] = index + 1
        chosen.append(_MARKERS[index % len(_MARKERS)])
    return chosen


def new_figure(width: float = 7.2, height: float = 4.4, rows: int = 1, columns: int = 1, **options):
    """A figure and its axes in the common look, without touching matplotlib's global state.

    Args:
        width: Inches.
        height: Inches.
        rows: Rows of axes.
        columns: Columns of axes.
        **options: Further arguments of `Figure.subplots`, such as `sharey`.

    Returns:
        The figure, and one axes object or, where there are several, an array of them.
    """
    with mpl.rc_context(_RC):
        drawn = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(drawn)
        axes = drawn.subplots(rows, columns, **options)
    return drawn, axes


def legend_beside(axes: Axes) -> None:
    """A legend to the right of the axes, where it covers nothing."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def save(drawn: Figure, path: Path) -> Path:
    """Writes the figure as `path`.png and `path`.svg; returns the SVG, which reports inline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(_RC):
        drawn.savefig(path.with_suffix(".png"), dpi=160)
        drawn.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    return path.with_suffix(".svg")
