"""What the seeds measured, as tables with one row for every number of interest."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import polars as pl
from jaxtyping import Float

from experiments.jobs.leakage.conditions import Condition
from experiments.jobs.leakage.measure import SeedLeakage
from experiments.jobs.leakage.plan import Plan
from gujax.statistics import Interval


def frames(plan: Plan, seeds: Sequence[SeedLeakage]) -> dict[str, pl.DataFrame]:
    """The tables of a run, by file name; the column `seed` tells seeds apart."""
    made = {
        "layers": _layers,
        "subspaces": _subspaces,
        "examples": _examples,
        "networks": _networks,
    }
    return {
        name: pl.concat(
            table(plan, result).insert_column(0, pl.lit(seed).alias("seed"))
            for seed, result in enumerate(seeds)
        )
        for name, table in made.items()
    }


def _layers(plan: Plan, result: SeedLeakage) -> pl.DataFrame:
    """One row for every condition and layer."""
    input_norms = _norms(result.x)[: plan.options.sensitivity_examples]
    table = []
    for (condition, layer), seen in result.observed.items():
        at, attack = condition.network, result.attacks[condition, layer]
        # Of the mean gradient to the input of one example of the batch.
        sensitivity = result.sensitivities[at][layer] / condition.batch_size
        row = {
            **asdict(condition),
            "layer": layer,
            "num_parameters": result.gradients[at][layer].num_parameters,
            "gradient_norm": float(np.median(seen.norms)),
            "gnq": float(np.median(result.uniqueness[at][layer])),
            "sensitivity": float(
                np.median(sensitivity * input_norms / seen.norms[: len(sensitivity)])
            ),
            **_with_ends("attack_accuracy", attack.accuracy),
            "majority": attack.majority,
            "auc": attack.auc,
        }
        for (target, family), of_all in result.information.items():
            found = of_all[condition, layer]
            row |= _with_ends(f"{target}_{family}", found.information)
            row |= _with_ends(f"{target}_{family}_control", found.control)
        table.append(row)
    return pl.DataFrame(table)


def _subspaces(plan: Plan, result: SeedLeakage) -> pl.DataFrame:
    """One row for every condition, layer and k; distances are from 0 to 1, whatever k."""
    del plan
    return pl.DataFrame(
        [
            {
                **asdict(condition),
                "layer": layer,
                "k": found.k,
                "distance": found.projection,
                **_with_ends("control", found.control),
            }
            for (condition, layer), distances in result.subspaces.items()
            for found in distances
        ]
    ).with_columns(pl.col("distance", "^control.*$") / pl.col("k").sqrt())


def _examples(plan: Plan, result: SeedLeakage) -> pl.DataFrame:
    """One row for every epoch at which gradients were inverted, layer and example of the pool.

    What was measured on some of the examples only is null for the others. `recovered` is the
    structural similarity of images, and 1 − the relative error of what are no images.
    """
    train, pool = plan.task.dataset.train, result.pool
    size = len(pool.indices)
    input_norms, own_class = _norms(result.x), pool.attribute[:, None].astype(int)
    parts = []
    for (epoch, layer), recovered in result.recovered.items():
        condition = Condition(epoch)
        at, attack = condition.network, result.attacks[condition, layer]
        norms = np.sqrt(np.maximum(np.diag(result.gradients[at][layer].gram), 0))
        columns = {
            "epoch": [epoch] * size,
            "layer": [layer] * size,
            "id": train.ids[pool.indices],
            "label": train.y[pool.indices],
            "attribute": pool.attribute,
            "gnq": result.uniqueness[at][layer],
            "gradient_norm": norms,
            "sensitivity": _padded(result.sensitivities[at][layer], size) * input_norms / norms,
            **{
                f"pointwise_{target}": result.information[target, "mlp"][condition, layer].pointwise
                for target in ("attribute", "input")
            },
            "attack_confidence": np.take_along_axis(attack.probabilities, own_class, axis=1)[:, 0],
            "attack_success": attack.success,
            **{
                name: _padded(recovered.quality[name].cast(pl.Float64).to_numpy(), size)
                for name in ("ssim", "mse", "feature_error", "matching_loss")
            },
        }
        parts.append(pl.DataFrame(columns))
    share = pl.col("ssim") if plan.space.is_image else 1 - pl.col("feature_error")
    table = pl.concat(parts).with_columns(share.alias("recovered"))
    return table.with_columns(pl.col(pl.Float64).fill_nan(None))


def _networks(plan: Plan, result: SeedLeakage) -> pl.DataFrame:
    """One row for every network."""
    del plan
    return pl.DataFrame(
        [
            {"dropout": rate, "epoch": epoch, "test_accuracy": accuracy}
            for (rate, epoch), accuracy in result.accuracies.items()
        ]
    )


def _with_ends(name: str, interval: Interval) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), interval))


def _norms(x: Float[np.ndarray, "examples ..."]) -> Float[np.ndarray, " examples"]:
    return np.linalg.norm(x.reshape(len(x), -1), axis=1)


def _padded(values: Float[np.ndarray, " some"], size: int) -> Float[np.ndarray, " {size}"]:
    """NaN for the examples that were not measured."""
    return np.concatenate([values, np.full(size - len(values), np.nan)])
