"""Figures of gradient inversion: pictures beside the truth, and how good they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from experiments.report.style import new_figure

_SUCCESS, _FAILURE = "#009e73", "#b4bac2"


@dataclass(frozen=True)
class PictureRow:
    """Reconstructions of the same images by one attack.

    Attributes:
        label: What was attacked, and how.
        images: Values in [0, 1], [N, H, W, C].
        ssim: Similarity of each with the truth, [N]; None for the truth itself.
        success: Whether it counts as reconstructed, [N].
    """

    label: str
    images: Float[np.ndarray, "images h w c"]
    ssim: Float[np.ndarray, "images"] | None = None
    success: Bool[np.ndarray, "images"] | None = None


@dataclass(frozen=True)
class QualityPanel:
    """Examples of one defense: quality of the reconstruction against uniqueness, both `[N]`."""

    title: str
    uniqueness: Float[np.ndarray, "examples"]
    quality: Float[np.ndarray, "examples"]
    seeds: Sequence[int]


def reconstruction_grid(rows: Sequence[PictureRow]) -> Figure:
    """Pictures, one row per attack; a green frame is a success, the number is the SSIM.

    Args:
        rows: The truth first; all of the same images.
    """
    count = len(rows[0].images)
    figure, grid = new_figure(
        0.82 * count + 2.3, 0.98 * len(rows) + 0.1, len(rows), count, squeeze=False
    )
    for axes_row, row in zip(grid, rows):
        for index, axes in enumerate(axes_row):
            image = row.images[index]
            gray = image.shape[-1] == 1
            axes.imshow(
                image[..., 0] if gray else image,
                cmap="gray" if gray else None,
                vmin=0,
                vmax=1,
                interpolation="nearest",
            )
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            reached = row.success is not None and bool(row.success[index])
            for spine in axes.spines.values():
                spine.set_visible(row.ssim is not None)
                spine.set_color(_SUCCESS if reached else _FAILURE)
                spine.set_linewidth(2.2 if reached else 0.8)
            if row.ssim is not None:
                axes.set_xlabel(
                    f"{row.ssim[index]:.2f}",
                    fontsize=8,
                    labelpad=1.5,
                    color="#1c1e21" if reached else "#7a828c",
                )
        axes_row[0].set_ylabel(
            row.label, rotation=0, ha="right", va="center", fontsize=9, labelpad=6
        )
    figure.get_layout_engine().set(h_pad=0.01, w_pad=0.01, hspace=0.0, wspace=0.0)
    return figure


def quality_by_uniqueness(panels: Sequence[QualityPanel], threshold: float, y_label: str) -> Figure:
    """One panel per defense: every example's reconstruction over the uniqueness of its gradient.

    Args:
        panels: The examples of each.
        threshold: Quality from which on a reconstruction is a success.
        y_label: What the quality is.
    """
    columns = min(len(panels), 4)
    rows = -(-len(panels) // columns)
    figure, grid = new_figure(
        2.5 * columns + 0.6,
        2.3 * rows + 0.6,
        rows,
        columns,
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    tints = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
    for axes, panel in zip(grid.flat, panels):
        axes.axhline(threshold, color="#7a828c", linestyle=":", linewidth=1)
        for seed in sorted(set(panel.seeds)):
            chosen = np.asarray(panel.seeds) == seed
            axes.scatter(
                panel.uniqueness[chosen],
                panel.quality[chosen],
                s=14,
                alpha=0.75,
                linewidth=0,
                color=tints[seed % len(tints)],
                label=f"seed {seed}",
            )
        axes.set_xscale("log")
        axes.set_title(panel.title, fontsize=9.5)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False)
    figure.supxlabel("gradient uniqueness of the example (log scale)", fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    return figure
