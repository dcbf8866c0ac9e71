"""Predicted against achieved, beside the line where they agree."""

import itertools
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from experiments.report.figures.series import Series, error_bars
from experiments.report.style import REFERENCE, grid

_LOOKS = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "D"), ("#CC79A7", "^"), ("#222222", "v"))


def agreement(panels: Mapping[str, Sequence[Series]], x_label: str, y_label: str) -> Figure:
    """What was achieved over what was predicted: sets of points beside the identity."""
    shared = {"sharex": True, "sharey": True}
    figure, all_axes, pairs = grid([[*panels.items()]], (3.4, 4.3), (0.4, 0.0), **shared)
    for axes, (title, sets) in pairs:
        axes.plot([0.5, 1], [0.5, 1], **REFERENCE)
        for points, (tint, marker) in zip(sets, itertools.cycle(_LOOKS)):
            axes.errorbar(
                points.x,
                *error_bars(points.y),
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
    lowest = min(mean for sets in panels.values() for points in sets for mean in points.mean)
    all_axes[0, 0].set_ylim(min(0.45, lowest - 0.05), 1.03)
    figure.supxlabel(x_label, fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    return figure
