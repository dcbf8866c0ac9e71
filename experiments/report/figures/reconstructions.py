"""Figures of gradient inversion: pictures beside the truth, and how good they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from experiments.report.style import new_figure, wrapped_grid

_SUCCESS, _FAILURE = "#009e73", "#b4bac2"
_SEEDS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")


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
    ssim: Float[np.ndarray, " images"] | None = None
    success: Bool[np.ndarray, " images"] | None = None


def reconstruction_grid(rows: Sequence[PictureRow]) -> Figure:
    """Pictures, one row per attack, the truth first; a green frame is a success, below is the SSIM.

    All rows are of the same images.
    """
    count = len(rows[0].images)
    figure, grid = new_figure(
        0.82 * count + 2.3, 0.98 * len(rows) + 0.1, len(rows), count, squeeze=False
    )
    for axes_row, row in zip(grid, rows):
        for index, axes in enumerate(axes_row):
            image = row.images[index]
            axes.imshow(
                image[..., 0] if image.shape[-1] == 1 else image,
                cmap="gray",  # of no effect on colours
                vmin=0,
                vmax=1,
                interpolation="nearest",
            )
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            reached = row.success is not None and bool(row.success[index])
            axes.spines[:].set(
                visible=row.ssim is not None,
                color=_SUCCESS if reached else _FAILURE,
                linewidth=2.2 if reached else 0.8,
            )
            if row.ssim is not None:
                color = "#1c1e21" if reached else "#7a828c"
                axes.set_xlabel(f"{row.ssim[index]:.2f}", fontsize=8, labelpad=1.5, color=color)
        axes_row[0].set_ylabel(
            row.label, rotation=0, ha="right", va="center", fontsize=9, labelpad=6
        )
    figure.get_layout_engine().set(h_pad=0.01, w_pad=0.01, hspace=0.0, wspace=0.0)
    return figure


def quality_by_uniqueness(
    panels: Mapping[str, pl.DataFrame], threshold: float, y_label: str
) -> Figure:
    """Every example's reconstruction over the uniqueness of its gradient.

    Args:
        panels: By title: a row for every example, with the columns seed, uniqueness and quality.
        threshold: Quality from which on a reconstruction is a success.
        y_label: What the quality is.
    """
    figure, grid = wrapped_grid(len(panels), 4, (2.5, 2.3), (0.6, 0.6), sharex=True, sharey=True)
    for axes, (title, points) in zip(grid, panels.items()):
        axes.axhline(threshold, color="#7a828c", linestyle=":", linewidth=1)
        for (seed,), of_seed in points.sort("seed").group_by("seed", maintain_order=True):
            axes.scatter(
                of_seed["uniqueness"],
                of_seed["quality"],
                s=14,
                alpha=0.75,
                linewidth=0,
                color=_SEEDS[int(seed) % len(_SEEDS)],
                label=f"seed {seed}",
            )
        axes.set_xscale("log")
        axes.set_title(title, fontsize=9.5)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels), frameon=False)
    figure.supxlabel("gradient uniqueness of the example (log scale)", fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    return figure
