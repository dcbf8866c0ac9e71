"""What a seed measured, as tables with one row for every number of interest."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Float

import gujax
from experiments.jobs.leakage.conditions import Condition
from experiments.jobs.leakage.measuring import Measured
from experiments.jobs.leakage.observing import LayerGradients
from experiments.jobs.leakage.plan import Plan
from experiments.tasks.task import Task
from gujax import training

FILES = ("layers", "subspaces", "examples", "networks")


def of_seeds(task: Task, plan: Plan, results: Sequence[Measured]) -> dict[str, pl.DataFrame]:
    """The tables of a run; the column `seed` tells seeds apart.

    Args:
        task: Data and model.
        plan: What was measured.
        results: One for every seed, from 0.

    Returns:
        By name of `FILES`.
    """
    makers: tuple[Callable[[Task, Plan, Measured], pl.DataFrame], ...] = (
        _layers,
        _subspaces,
        _examples,
        _networks,
    )
    return {
        name: pl.concat(
            make(task, plan, result).insert_column(0, pl.lit(seed).alias("seed"))
            for seed, result in enumerate(results)
        )
        for name, make in zip(FILES, makers)
    }


def _layers(task: Task, plan: Plan, result: Measured) -> pl.DataFrame:
    """One row for every condition and layer."""
    del task
    input_norms = _norms(result.x)[: plan.sensitivity_examples]
    table = []
    for (condition, layer), seen in result.observed.items():
        at = condition.dropout, condition.epoch
        of_layer, attack = result.gradients[at][layer], result.attacks[condition, layer]
        # Of the mean gradient to the input of one example of the batch.
        sensitivity = result.sensitivities[at][layer] / condition.batch_size
        row = {
            **_columns(condition, layer),
            "num_parameters": of_layer.num_parameters,
            "gradient_norm": float(np.median(seen.norms)),
            "gnq": float(np.median(_uniqueness(of_layer, plan))),
            "sensitivity": float(
                np.median(sensitivity * input_norms / seen.norms[: len(sensitivity)])
            ),
            "attack_accuracy": attack.accuracy.value,
            "attack_accuracy_low": attack.accuracy.low,
            "attack_accuracy_high": attack.accuracy.high,
            "majority": attack.majority,
            "auc": attack.auc,
        }
        for (target, family), of_all in result.information.items():
            found = of_all[condition, layer]
            for kind, estimate in (("", found.information), ("_control", found.control)):
                name = f"{target}_{family}{kind}"
                row |= {
                    name: estimate.value,
                    f"{name}_low": estimate.low,
                    f"{name}_high": estimate.high,
                }
        table.append(row)
    return pl.DataFrame(table)


def _subspaces(task: Task, plan: Plan, result: Measured) -> pl.DataFrame:
    """One row for every condition, layer and k; distances are from 0 to 1, whatever k."""
    del task, plan
    return pl.DataFrame(
        [
            {
                **_columns(condition, layer),
                "k": found.k,
                "distance": found.projection / np.sqrt(found.k),
                "control": found.control.value / np.sqrt(found.k),
                "control_low": found.control.low / np.sqrt(found.k),
                "control_high": found.control.high / np.sqrt(found.k),
            }
            for (condition, layer), distances in result.subspaces.items()
            for found in distances
        ]
    )


def _examples(task: Task, plan: Plan, result: Measured) -> pl.DataFrame:
    """One row for every epoch at which gradients were inverted, layer and example of the pool.

    What was measured on some of the examples only is null for the others.
    """
    train, pool = task.dataset.train, result.pool
    size = len(pool.indices)
    input_norms = _norms(result.x)
    parts = []
    for (epoch, layer), recovered in result.recovered.items():
        of_layer = result.gradients[0.0, epoch][layer]
        norms = np.sqrt(np.maximum(np.diag(of_layer.gram), 0))
        key = Condition(epoch), layer
        own_class = pool.attribute[:, None].astype(int)
        sensitivity = _padded(result.sensitivities[0.0, epoch][layer], size)
        quality = recovered.quality.select("ssim", "mse", "feature_error", "matching_loss")
        columns = {
            "epoch": np.full(size, epoch, np.int32),
            "layer": [layer] * size,
            "id": train.ids[pool.indices],
            "label": train.y[pool.indices],
            "attribute": pool.attribute,
            "gnq": _uniqueness(of_layer, plan),
            "gradient_norm": norms,
            "sensitivity": sensitivity * input_norms / norms,
            "pointwise_attribute": result.information["attribute", "mlp"][key].pointwise,
            "pointwise_input": result.information["input", "mlp"][key].pointwise,
            "attack_confidence": np.take_along_axis(
                result.attacks[key].probabilities, own_class, axis=1
            )[:, 0],
            "attack_success": result.attacks[key].success,
            **{
                name: _padded(quality[name].cast(pl.Float64).to_numpy(), size)
                for name in quality.columns
            },
        }
        parts.append(pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None)))
    return pl.concat(parts)


def _networks(task: Task, plan: Plan, result: Measured) -> pl.DataFrame:
    """One row for every network."""
    del plan
    test = task.dataset.test
    table = []
    for (rate, epoch), network in result.networks.items():
        logits = training.predict(task.model.apply, network.params, test.x)
        accuracy = float(training.accuracy(logits, test.y))
        table.append({"dropout": rate, "epoch": epoch, "test_accuracy": accuracy})
    return pl.DataFrame(table)


def _uniqueness(layer: LayerGradients, plan: Plan) -> Float[np.ndarray, " examples"]:
    gram = jnp.asarray(layer.gram, jnp.float32)
    return np.asarray(gujax.uniqueness(gram, relative_ridge=plan.relative_ridge), np.float64)


def _columns(condition: Condition, layer: str) -> dict[str, object]:
    return {
        "epoch": condition.epoch,
        "batch_size": condition.batch_size,
        "alike": condition.alike,
        "noise": float(condition.noise),
        "dropout": float(condition.dropout),
        "layer": layer,
    }


def _norms(x: Float[np.ndarray, "examples ..."]) -> Float[np.ndarray, " examples"]:
    return np.linalg.norm(x.reshape(len(x), -1), axis=1)


def _padded(values: Float[np.ndarray, " some"], size: int) -> Float[np.ndarray, " {size}"]:
    """NaN for the examples that were not measured."""
    return np.concatenate([values, np.full(size - len(values), np.nan)])
