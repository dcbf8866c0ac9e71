"""Figures of the release card."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from experiments.report.style import new_figure


def training_curves(
    x: Sequence[float], panels: Sequence[tuple[str, Sequence[tuple[str, Sequence[float]]]]]
) -> Figure:
    """Curves over epochs; each panel has the label of its vertical axis, and named curves."""
    figure, all_axes = new_figure(3.4 * len(panels), 3.2, columns=len(panels), squeeze=False)
    tints = ("#222222", "#0072B2", "#D55E00", "#009E73")
    for axes, (label, curves) in zip(all_axes[0], panels):
        for (name, values), tint in zip(curves, tints):
            axes.plot(x, values, color=tint, linewidth=1.5, label=name)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        if len(curves) > 1:
            axes.legend(fontsize=8.5, frameon=False)
    return figure


def histogram(values: Float[np.ndarray, " examples"], x_label: str, limit: float | None) -> Figure:
    """Distribution of a per-example quantity; `limit` marks a policy's maximum."""
    figure, axes = new_figure(6.4, 3.2)
    axes.hist(values, bins=40, color="#0072B2", edgecolor="white", linewidth=0.4)
    if limit is not None:
        axes.axvline(limit, color="#D55E00", linewidth=1.6)
        axes.annotate(
            f"policy {limit:g}",
            (limit, 0.94),
            xycoords=axes.get_xaxis_transform(),
            xytext=(5, 0),
            textcoords="offset points",
            color="#D55E00",
        )
    axes.set_xlabel(x_label)
    axes.set_ylabel("examples")
    return figure
