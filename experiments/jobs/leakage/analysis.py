"""The numbers of the report, from the tables of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from experiments.framework.seeds import over_seeds
from experiments.jobs.leakage.conditions import Condition
from experiments.jobs.leakage.measures import (
    LATENT,
    SWEPT_ORIGINAL,
    Values,
    original,
    recovery,
    values_by_seed,
)
from experiments.jobs.leakage.observing import WHOLE
from experiments.jobs.leakage.plan import Plan

ALL_CONDITIONS = "all conditions"

# Pairs of measures whose ranks are compared. Over layers and conditions:
_EVERYWHERE = (
    ("attribute_linear", "auc"),
    ("attribute_mlp", "auc"),
    ("sensitivity", "input_mlp"),
)
# Over layers, where gradients were inverted:
_WHERE_INVERTED = (
    ("sensitivity", "recovered"),
    ("input_linear", "recovered"),
    ("input_mlp", "recovered"),
    ("gnq", "recovered"),
    ("gnq", "input_mlp"),
    ("gnq", "attribute_mlp"),
    ("gnq", "auc"),
)
# Over examples, of the whole gradient:
_EXAMPLES = (
    ("pointwise_attribute", "attack_confidence"),
    ("gnq", "pointwise_attribute"),
    ("gnq", "pointwise_input"),
    ("gnq", "sensitivity"),
    ("gnq", "recovered"),
    ("pointwise_input", "recovered"),
    ("sensitivity", "recovered"),
    ("gradient_norm", "recovered"),
)


def summarize(plan: Plan, frames: Mapping[str, pl.DataFrame], is_image: bool) -> dict[str, Any]:
    """Everything that the report shows, as JSON types.

    Args:
        plan: What was measured.
        frames: The tables of the run.
        is_image: Whether recovery is measured by SSIM, or by relative error.
    """
    values = values_by_seed(plan, frames, is_image)
    layers = (*plan.layers, WHOLE)
    return {
        "layers": list(plan.layers),
        "fully_connected": list(plan.fully_connected),
        "sweeps": {
            sweep.name: {
                "title": sweep.title,
                "labels": sweep.labels,
                "levels": list(sweep.levels),
                "measures": {
                    name: {
                        layer: [over_seeds(values[c, layer][name]) for c in sweep.conditions]
                        for layer in layers
                    }
                    for name in _columns(values)
                },
            }
            for sweep in plan.sweeps
        },
        "leading": _leading(plan, values, is_image),
        "falls": _falls(plan, values),
        "controls": _controls(frames["layers"]),
        "subspaces": _subspaces(plan, frames["subspaces"]),
        "correlations": {
            "layers": _over_layers(plan, values),
            "examples": _over_examples(plan, frames["examples"], is_image),
        },
        "networks": [
            {
                "dropout": rate,
                "epoch": epoch,
                "test_accuracy": over_seeds(of.sort("seed")["test_accuracy"].to_numpy()),
            }
            for (rate, epoch), of in frames["networks"].group_by(
                "dropout", "epoch", maintain_order=True
            )
        ],
    }


def _columns(values: Values) -> list[str]:
    return list(next(iter(values.values())))


def _leading(plan: Plan, values: Values, is_image: bool) -> dict[str, dict[str, Any]]:
    """By how much the most leaking layer of one part of the network exceeds that of the other.

    Of logarithmic measures the decimal logarithm is compared. Means over the epochs.
    """
    half = -(-len(plan.layers) // 2)
    comparisons = {
        "original": (original(is_image), plan.layers[:half], plan.layers[half:]),
        "latent": (
            LATENT,
            plan.fully_connected,
            tuple(layer for layer in plan.layers if layer not in plan.fully_connected),
        ),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, (measures, first, second) in comparisons.items():
        found[name] = {}
        if not first or not second:
            continue
        for measure in measures:
            gaps = []
            for condition in plan.sweeps[0].conditions:
                best = []
                for part in (first, second):
                    of_part = np.stack([values[condition, layer][measure.column] for layer in part])
                    of_part = np.log10(of_part) if measure.log_scale else of_part
                    best.append(of_part.max(axis=0))
                gaps.append(best[0] - best[1])
            measured = [gap for gap in gaps if not np.isnan(gap).all()]
            found[name][measure.column] = over_seeds(np.mean(measured, axis=0))
    return found


def _falls(plan: Plan, values: Values) -> dict[str, dict[str, Any]]:
    """By how much measures are smaller at the last level of a sweep, in the mean over layers."""
    found: dict[str, dict[str, Any]] = {}
    for sweep in plan.sweeps[1:]:
        found[sweep.name] = {}
        for measure in (*SWEPT_ORIGINAL, *LATENT):
            ends = []
            for condition in (sweep.conditions[0], sweep.conditions[-1]):
                of_layers = np.stack(
                    [values[condition, layer][measure.column] for layer in plan.layers]
                )
                of_layers = np.log10(of_layers) if measure.log_scale else of_layers
                ends.append(of_layers.mean(axis=0))
            found[sweep.name][measure.column] = over_seeds(ends[0] - ends[1])
    return found


def _controls(table: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """What V-information is with the target shuffled, over all layers, conditions and seeds."""
    return {
        name: {
            "mean": float(table[f"{name}_control"].mean()),  # type: ignore[arg-type]
            "largest": float(table[f"{name}_control"].abs().max()),  # type: ignore[arg-type]
            "covers_zero": float(
                ((table[f"{name}_control_low"] <= 0) & (table[f"{name}_control_high"] >= 0)).mean()  # type: ignore[arg-type]
            ),
            "count": len(table),
        }
        for name in ("attribute_linear", "attribute_mlp", "input_linear", "input_mlp")
    }


def _subspaces(plan: Plan, table: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Distance and its control by layer and k, in the reference."""
    here = table.filter(
        (pl.col("epoch") == plan.reference_epoch)
        & (pl.col("batch_size") == 1)
        & (pl.col("noise") == 0)
        & (pl.col("dropout") == 0)
    )
    return {
        layer: {
            str(k): {
                name: over_seeds(of.sort("seed")[name].to_numpy())
                for name in ("distance", "control")
            }
            for (k,), of in here.filter(pl.col("layer") == layer)
            .sort("k")
            .group_by("k", maintain_order=True)
        }
        for layer in (*plan.layers, WHOLE)
    }


def _over_layers(plan: Plan, values: Values) -> list[dict[str, Any]]:
    found = [
        _entry(pair, ALL_CONDITIONS, _points(values, plan.conditions, plan.layers, pair))
        for pair in _EVERYWHERE
    ]
    return found + [
        _entry(pair, f"epoch {epoch}", _points(values, [Condition(epoch)], plan.layers, pair))
        for pair in _WHERE_INVERTED
        for epoch in plan.recovery_epochs
    ]


def _points(
    values: Values, conditions: Sequence[Condition], layers: Sequence[str], pair: tuple[str, str]
) -> list[np.ndarray]:
    """For each of two measures, [seeds, points]."""
    return [
        np.stack([values[c, layer][name] for c in conditions for layer in layers], axis=1)
        for name in pair
    ]


def _over_examples(plan: Plan, table: pl.DataFrame, is_image: bool) -> list[dict[str, Any]]:
    table = table.filter(pl.col("layer") == WHOLE).with_columns(
        recovery(is_image).alias("recovered")
    )
    found = []
    for pair in _EXAMPLES:
        for epoch in plan.recovery_epochs:
            here = table.filter(pl.col("epoch") == epoch).drop_nulls(list(pair))
            seeds = [of for _, of in here.sort("seed").group_by("seed", maintain_order=True)]
            points = [[of[name].to_numpy() for of in seeds] for name in pair]
            found.append(_entry(pair, f"epoch {epoch}", points))
    return found


def _entry(
    pair: tuple[str, str], where: str, points: Sequence[Sequence[np.ndarray] | np.ndarray]
) -> dict[str, Any]:
    """Spearman's correlation of two measures, each with an array of points for every seed."""
    first, second = points
    found = [_spearman(a, b) for a, b in zip(first, second)]
    return {
        "pair": list(pair),
        "where": where,
        "points": len(first[0]),
        "spearman": over_seeds(found),
    }


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    kept = np.isfinite(a) & np.isfinite(b)
    if kept.sum() < 3 or np.ptp(a[kept]) == 0 or np.ptp(b[kept]) == 0:
        return float("nan")
    return float(stats.spearmanr(a[kept], b[kept]).statistic)
