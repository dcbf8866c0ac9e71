"""Bounds of ε by several auditors, over the ε that was guaranteed."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.report.figures.series import error_bars
from experiments.report.style import GREY, legend_beside, new_figure
from gujax.statistics import Interval

_TINTS = ("#222222", "#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7")


def epsilon_bounds(
    guaranteed: Sequence[float], auditors: Mapping[str, tuple[bool, Sequence[Interval]]]
) -> Figure:
    """ε of up to six auditors, side by side for every ε that the accountant guarantees.

    Of each it is given whether its numbers bound from above, and one interval per guarantee;
    triangles show the bound's side.
    """
    figure, axes = new_figure(8.4, 4.4)
    groups = np.arange(len(guaranteed))
    width = 0.8 / len(auditors)
    for index, ((label, (upper, intervals)), tint) in enumerate(zip(auditors.items(), _TINTS)):
        axes.errorbar(
            groups + (index - (len(auditors) - 1) / 2) * width,
            *error_bars(intervals),
            fmt="v" if upper else "^",
            color=tint,
            markersize=6,
            elinewidth=1.2,
            label=label,
        )
    for group, epsilon in zip(groups, guaranteed):
        axes.plot([group - 0.45, group + 0.45], [epsilon] * 2, color=GREY, linestyle=":")
    axes.set_yscale("symlog", linthresh=0.5, linscale=0.6)
    axes.set_ylim(bottom=-0.06)
    ticks = (0, 0.25, 0.5, 1, 2, 4, 8, 16, 32)
    top = axes.get_ylim()[1]
    shown = [tick for tick in ticks if tick <= top]
    axes.set_yticks(shown, [f"{tick:g}" for tick in shown], minor=False)
    axes.minorticks_off()
    axes.set_xticks(groups, [f"{epsilon:.3g}" for epsilon in guaranteed])
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("ε of the accountant (dotted)")
    axes.set_ylabel("ε of each auditor")
    axes.set_title("▼ bounds from above   ▲ bounds from below", loc="left", color="#555b63")
    legend_beside(axes)
    return figure
