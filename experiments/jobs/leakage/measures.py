"""What is compared between layers and conditions."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float

from experiments.jobs.leakage.conditions import Condition
from experiments.jobs.leakage.observing import WHOLE
from experiments.jobs.leakage.plan import Plan


class Measure(NamedTuple):
    """A measure of what a layer leaks.

    Attributes:
        column: Its name in tables.
        label: Its name in figures.
        unit: Its unit; may be empty.
        log_scale: Whether ratios matter, not differences.
        nothing: What it is where nothing leaks; None if no value says so.
        limits: Least and greatest value that it can have.
    """

    column: str
    label: str
    unit: str = ""
    log_scale: bool = False
    nothing: float | None = None
    limits: tuple[float, float] = (-np.inf, np.inf)


INPUT_INFORMATION = Measure("input_mlp", "V-information: input", "nats", nothing=0.0)
SENSITIVITY = Measure(
    "sensitivity", "sensitivity to the input", log_scale=True, limits=(1e-9, np.inf)
)
RECOVERED_IMAGE = Measure("recovered", "SSIM, inversion of the layer", limits=(-1, 1))
RECOVERED_FEATURES = Measure("recovered", "1 − error, inversion of the layer")
ATTRIBUTE_INFORMATION = Measure("attribute_mlp", "V-information: attribute", "nats", nothing=0.0)
ATTACK = Measure("auc", "AUC, attribute inference", nothing=0.5, limits=(0, 1))
SUBSPACE = Measure("subspace", "subspace distance − shuffled", nothing=0.0, limits=(-1, 1))

SWEPT_ORIGINAL = (INPUT_INFORMATION, SENSITIVITY)
SWEPT_LATENT = (ATTRIBUTE_INFORMATION, ATTACK)
LATENT = (*SWEPT_LATENT, SUBSPACE)


def original(is_image: bool) -> tuple[Measure, ...]:
    """Measures of what is leaked about the input."""
    return (*SWEPT_ORIGINAL, RECOVERED_IMAGE if is_image else RECOVERED_FEATURES)


def recovery(is_image: bool) -> pl.Expr:
    """How much of an example was recovered, of the table `examples`."""
    return pl.col("ssim") if is_image else 1 - pl.col("feature_error")


Values = Mapping[tuple[Condition, str], Mapping[str, Float[np.ndarray, " seeds"]]]
"""By condition and layer, and then by column: a number for each seed."""


def values_by_seed(plan: Plan, frames: Mapping[str, pl.DataFrame], is_image: bool) -> Values:
    """Every number of the table `layers`, with what is measured in the other tables.

    Args:
        plan: What was measured.
        frames: The tables.
        is_image: Whether recovery is measured by SSIM, or by relative error.
    """
    found: dict[tuple[Condition, str], dict[str, np.ndarray]] = {}
    keys = ("epoch", "batch_size", "alike", "noise", "dropout")
    at = [*keys, "layer", "seed"]
    distances = (
        frames["subspaces"]
        .group_by(at)
        .agg((pl.col("distance") - pl.col("control")).mean().alias("subspace"))
    )
    recovered = (
        frames["examples"]
        .group_by("epoch", "layer", "seed")
        .agg(
            (pl.col("ssim") if is_image else 1 - pl.col("feature_error")).mean().alias("recovered")
        )
        .with_columns(
            pl.lit(1, pl.Int64).alias("batch_size"),
            pl.lit(True).alias("alike"),
            pl.lit(0.0).alias("noise"),
            pl.lit(0.0).alias("dropout"),
            pl.col("epoch").cast(pl.Int64),
        )
    )
    table = (
        frames["layers"]
        .join(distances, on=at, how="left")
        .join(recovered, on=at, how="left")
        .sort("seed")
    )
    for place, rows in table.group_by(*keys, "layer", maintain_order=True):
        *condition, layer = place
        columns = rows.select(pl.exclude(at)).to_dict(as_series=False)
        found[Condition(*condition), layer] = {  # type: ignore[index,arg-type]
            name: np.asarray(values, float) for name, values in columns.items()
        }
    assert all((c, layer) in found for c in plan.conditions for layer in (*plan.layers, WHOLE))
    return found
