"""Figures of sweeps."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.report.figures.series import Series, error_bars
from experiments.report.style import new_figure

# Okabe and Ito's palette, black first.
_COLORS = ("#222222", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7a828c")
_MARKERS = "osD^vPX*"
_LOG_FROM = 20.0  # values that span more than this factor are drawn on a logarithmic axis


def facets(
    grid: Sequence[Sequence[Sequence[Series]]],
    rows: Sequence[str],
    columns: Sequence[str],
    x_label: str,
    x_ticks: Sequence[str] | None,
    joined: bool,
) -> Figure:
    """A measure in each row of panels, a value of the facetted option in each column.

    Args:
        grid: Lines of each panel, by row and column: the measure at the option's values or, if they
            are no numbers, at their indices.
        rows: The measures.
        columns: Titles of the columns.
        x_label: The option on the horizontal axis.
        x_ticks: Its values in words; None if they are numbers.
        joined: Whether points belong together, as on a grid, or were drawn at random.
    """
    size = 2.6 * len(columns) + 1.6, 2.3 * len(rows) + 0.7
    drawn, axes = new_figure(
        *size, len(rows), len(columns), squeeze=False, sharex=True, sharey="row"
    )
    for row, of_row in enumerate(grid):
        for column, lines in enumerate(of_row):
            _draw(axes[row, column], lines, joined)
        axes[row, 0].set_ylabel(rows[row], fontsize=9)
    for column, title in enumerate(columns):
        axes[0, column].set_title(title, fontsize=10)
        axes[-1, column].set_xlabel(x_label)
    _scale(axes[0, 0], grid, x_ticks)
    labels = {line.label for of_row in grid for lines in of_row for line in lines}
    if labels != {""}:
        drawn_by = (panel.get_legend_handles_labels() for panel in axes.flat)
        handles = {label: handle for both in drawn_by for handle, label in zip(*both)}
        drawn.legend(
            handles.values(), handles.keys(), loc="outside right upper", frameon=False, fontsize=9
        )
    return drawn


def _draw(axes: Axes, lines: Sequence[Series], joined: bool) -> None:
    for index, line in enumerate(lines):
        axes.errorbar(
            line.x,
            *error_bars(line.y),
            color=_COLORS[index % len(_COLORS)],
            marker=_MARKERS[index % len(_MARKERS)],
            linestyle="-" if joined else "none",
            markersize=4.5,
            linewidth=1.2,
            capsize=2,
            label=line.label,
        )


def _scale(axes: Axes, grid, x_ticks: Sequence[str] | None) -> None:
    """The horizontal scale, which all panels share."""
    if x_ticks is not None:
        axes.set_xticks(range(len(x_ticks)), x_ticks)
        axes.set_xlim(-0.5, len(x_ticks) - 0.5)
        return
    values = [x for of_row in grid for lines in of_row for line in lines for x in line.x]
    if values and min(values) > 0 and max(values) > _LOG_FROM * min(values):
        axes.set_xscale("log")
    elif all(x == int(x) for x in values):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
