"""Figures of the comparison of defenses."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib.transforms import Bbox

from experiments.report.figures.series import Named, Series, draw_points, error_bars
from experiments.report.labels import label_points
from experiments.report.style import (
    REFERENCE,
    color,
    legend_beside,
    markers,
    new_figure,
    wrapped_grid,
)
from gujax.statistics import Interval


def privacy_utility(
    defenses: Sequence[Named],
    accuracy: Sequence[Interval],
    true_positive_rate: Sequence[Interval],
    false_positive_rate: float,
    attack: str,
) -> Figure:
    """Accuracy against an attack's TPR at an FPR, all in [0, 1]: one labelled point per defense."""
    figure, axes = new_figure(7.4, 4.8)
    draw_points(axes, defenses, true_positive_rate, accuracy, markersize=7, capsize=2.5)
    axes.axvline(false_positive_rate, **REFERENCE)
    axes.set_xlabel(f"{attack}: true positives at {100 * false_positive_rate:g} % false positives")
    axes.set_ylabel("test accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.margins(0.14, 0.12)
    axes.set_xlim(left=0)  # no rate is negative, whatever the symmetric interval says
    axes.text(
        false_positive_rate,
        0.015,
        " guessing",
        transform=axes.get_xaxis_transform(),
        color="#555b63",
        fontsize=9,
    )
    axes.set_title("Better is up and to the left", loc="left", color="#555b63")
    x = [tpr.mean for tpr in true_positive_rate]
    y = [interval.mean for interval in accuracy]
    figure.draw_without_rendering()
    bars = [
        box for tpr, acc in zip(true_positive_rate, accuracy) for box in _bar_boxes(axes, tpr, acc)
    ]
    labels, colors = zip(*((defense.label, defense.color) for defense in defenses))
    label_points(axes, x, y, labels, colors, bars)
    return figure


def attack_by_uniqueness(series: Sequence[Series], chance: float, x_label: str) -> Figure:
    """Attack success over GNQ quantile bins: one panel per defense, the first line in each.

    `chance` is what guessing reaches.
    """
    shared = {"sharex": True, "sharey": True}
    figure, grid = wrapped_grid(len(series), 4, (2.3, 2.3), (0.6, 0.4), **shared)
    first = series[0]
    for axes, line in zip(grid, series):
        axes.axhline(chance, **REFERENCE)
        if line is not first:
            axes.plot(first.x, first.mean, color="#b4bac2", linewidth=1.2)
        line.draw(axes)
        axes.set_title(line.label, color=color(line.color), fontsize=10.5)
        axes.set_xticks(list(line.x)[:: max(1, len(line.x) // 5)])
    figure.supxlabel(x_label, fontsize=10)
    figure.supylabel("LiRA: AUC per example, mean of bin", fontsize=10)
    return figure


def predicted_against_measured(
    mu: Float[np.ndarray, " examples"],
    measured: Float[np.ndarray, " examples"],
    bins: Series,
    curves: Sequence[tuple[str, Float[np.ndarray, " grid"], Float[np.ndarray, " grid"]]],
) -> Figure:
    """Measured AUC of each example over its composed μ, with predicted curves.

    Args:
        mu: Composed Gaussian-DP parameter.
        measured: AUC that the attack reached.
        bins: Mean measured AUC over bins of μ.
        curves: Name, μ and AUC of each prediction.
    """
    figure, axes = new_figure(7.2, 4.4)
    axes.scatter(mu, measured, s=7, color="#9aa2ad", alpha=0.35, linewidth=0, rasterized=True)
    axes.errorbar(
        bins.x,
        *error_bars(bins.y),
        fmt="o",
        color=color(bins.color),
        markersize=5.5,
        label=bins.label,
        zorder=4,
    )
    for (name, x, y), style, tint in zip(curves, ("-", "--"), ("#D55E00", "#0072B2")):
        axes.plot(x, y, style, color=tint, linewidth=1.6, label=name)
    axes.set_xscale("log")
    axes.axhline(0.5, **REFERENCE)
    axes.set_ylim(min(0.2, float(np.nanmin(measured)) - 0.02), 1.03)
    axes.set_xlabel("predicted: μ composed over the steps of the run (log scale)")
    axes.set_ylabel("measured: AUC per example")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False)
    return figure


def roc_curves(
    defenses: Sequence[Named],
    curves: Sequence[tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]],
    lowest: float = 1e-3,
) -> Figure:
    """ROC curves, (FPR, TPR) each, on logarithmic axes from `lowest`, where the low rates show."""
    figure, axes = new_figure(6.6, 4.6)
    colors = [defense.color for defense in defenses]
    for index, (defense, (fpr, tpr)) in enumerate(zip(defenses, curves)):
        style = ("-", "--", ":")[colors[:index].count(defense.color) % 3]
        axes.plot(fpr, tpr, style, color=defense.color, linewidth=1.5, label=defense.label)
    diagonal = np.array([lowest, 1.0])
    axes.plot(diagonal, diagonal, color="#b4bac2", linewidth=1, label="guessing")
    axes.set(xscale="log", yscale="log", xlim=(lowest, 1), ylim=(lowest, 1))
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    legend_beside(axes)
    return figure


def class_accuracy(
    class_names: Sequence[str], defenses: Sequence[Named], accuracy: Sequence[Sequence[Interval]]
) -> Figure:
    """Test accuracy of every class under every defense, `accuracy[defense][class]`."""
    figure, axes = new_figure(8.2, 4.2)
    width = 0.8 / len(defenses)
    shapes = markers([defense.color for defense in defenses])
    for index, (defense, marker) in enumerate(zip(defenses, shapes)):
        shift = (index - (len(defenses) - 1) / 2) * width
        axes.errorbar(
            np.arange(len(class_names)) + shift,
            *error_bars(accuracy[index]),
            fmt=marker,
            color=defense.color,
            label=defense.label,
            markersize=4.5,
            elinewidth=0.8,
        )
    rotation = 0 if len("".join(class_names)) < 60 else 90
    axes.set_xticks(range(len(class_names)), class_names, rotation=rotation)
    for edge in np.arange(len(class_names) - 1) + 0.5:
        axes.axvline(edge, color="#e4e6ea", linewidth=0.8)
    axes.grid(axis="x", visible=False)
    axes.set_xlim(-0.5, len(class_names) - 0.5)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel("test accuracy")
    axes.set_xlabel("class")
    legend_beside(axes)
    return figure


def _bar_boxes(axes, horizontal: Interval, vertical: Interval) -> list[Bbox]:
    """Boxes, in pixels, round the error bars of one point."""
    dx, dy = np.nan_to_num((horizontal.half_width, vertical.half_width))
    x, y = horizontal.mean, vertical.mean
    corners = [((x - dx, y), (x + dx, y)), ((x, y - dy), (x, y + dy))]
    boxes = []
    for start, end in corners:
        (x0, y0), (x1, y1) = axes.transData.transform([start, end])
        boxes.append(Bbox.from_extents(x0 - 2, y0 - 2, x1 + 2, y1 + 2))
    return boxes
