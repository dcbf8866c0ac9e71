"""What every seed does: networks are trained, their gradients measured, and inverted."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Float
from threadpoolctl import threadpool_limits

import gujax
from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.inversion.sharing import chosen, share
from experiments.jobs.leakage.conditions import At, Condition
from experiments.jobs.leakage.networks import Network, batch_of, train_networks
from experiments.jobs.leakage.observing import (
    WHOLE,
    LayerGradients,
    Observed,
    Pool,
    companions,
    draw_pool,
    layer_gradients,
    observe,
    shuffled,
)
from experiments.jobs.leakage.plan import Plan
from experiments.jobs.leakage.recovering import Recovered, recover
from gujax import leakage, training
from gujax.attacks.attributes import AttributeInference, infer_attribute
from gujax.statistics import Interval

FAMILIES: Mapping[str, leakage.Family] = {"linear": leakage.linear(), "mlp": leakage.mlp(16)}
_SHUFFLES = 20  # of the control of the subspace distance

# Of a seed's key; what training splits off the same key serves nothing of the kind.
_PROBES, _VICTIMS = 2, 3

Key = tuple[Condition, str]
"""A condition and a layer."""

Information = Mapping[tuple[str, str], Mapping[Key, leakage.VInformation]]
"""By target ("attribute", "input") and family of predictors."""


class Leakage(NamedTuple):
    """What was measured.

    Attributes:
        tables: One row for every number of interest; the column `seed` tells seeds apart.
        recovered: What inversion found of the first seed's victims, by epoch and layer.
        truth: These victims, in the data set's own values.
    """

    tables: Mapping[str, pl.DataFrame]
    recovered: Mapping[tuple[int, str], Recovered]
    truth: Float[np.ndarray, "victims ..."]


class _OfNetwork(NamedTuple):
    """What was measured of one network, by layer.

    Attributes:
        gradients: Those of the pool.
        gnq: Of each example within the pool, [examples].
        sensitivity: ‖∂g/∂x‖ ‖x‖ of the first examples, [some].
    """

    gradients: Mapping[str, LayerGradients]
    gnq: Mapping[str, np.ndarray]
    sensitivity: Mapping[str, np.ndarray]


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Leakage:
    """Measures every seed, from 0."""
    del directory
    # Hundreds of small decompositions: threads would only wait for each other.
    with threadpool_limits(1, user_api="blas"):
        seeds = [_measure_seed(plan, seed, steps) for seed in range(plan.options.seeds)]
    tables = {
        name: pl.concat(
            of_seed.tables[name].insert_column(0, pl.lit(seed).alias("seed"))
            for seed, of_seed in enumerate(seeds)
        )
        for name in seeds[0].tables
    }
    return seeds[0]._replace(tables=tables)


def _measure_seed(plan: Plan, seed: int, steps: Steps) -> Leakage:
    """Everything of one seed: of its pool, its network, its training and all noise."""
    options, train = plan.options, plan.task.dataset.train
    pool = draw_pool(plan.attribute.values, options.examples, options.folds, seed)
    x, y = train.x[pool.indices], train.y[pool.indices]
    with steps.step(f"seed {seed}: training, gradients, sensitivity"):
        networks = train_networks(plan, seed)
        of_networks = {at: _gradients(plan, n, x, y, seed) for at, n in networks.items()}
    observed: dict[Key, Observed] = {}
    for condition in plan.conditions:
        gradients = of_networks[condition.network].gradients
        batches = companions(pool, condition, seed)
        seen = observe(gradients, batches, condition.noise, options.width, seed)
        observed |= {(condition, layer): of_layer for layer, of_layer in seen.items()}
    with steps.step(f"seed {seed}: V-information"):
        information = _information(observed, x, pool, plan, seed)
    with steps.step(f"seed {seed}: attribute inference and subspaces"):
        attacks, controls = (
            {
                key: infer_attribute(seen.features, attribute, folds=pool.folds, seed=seed)
                for key, seen in observed.items()
            }
            for attribute in (pool.attribute, shuffled(pool, seed))
        )
        subspaces = [
            {**asdict(condition), "layer": layer, **distance}
            for (condition, layer), seen in observed.items()
            for distance in _subspaces(seen, pool, plan, seed)
        ]
    with steps.step(f"seed {seed}: inversion, layer by layer"):
        recovered = _invert(plan, networks, pool, seed)
    accuracies = [
        {"dropout": rate, "epoch": epoch, "test_accuracy": _accuracy(plan, network)}
        for (rate, epoch), network in networks.items()
    ]
    tables = {
        "layers": _layers_table(of_networks, observed, information, attacks, controls),
        "subspaces": pl.DataFrame(subspaces),
        "examples": _examples_table(plan, pool, of_networks, information, attacks, recovered),
        "networks": pl.DataFrame(accuracies),
    }
    return Leakage(tables, recovered, plan.space.restore(x[: options.victims]))


def _gradients(plan: Plan, network: Network, x: np.ndarray, y: np.ndarray, seed: int) -> _OfNetwork:
    batch = batch_of(network, x, y, seed)
    gradients = layer_gradients(network.loss_fn, network.params, batch, plan.layers)
    gnq = {}
    for name, layer in gradients.items():
        gram = jnp.asarray(layer.gram, jnp.float32)
        found = gujax.uniqueness(gram, relative_ridge=plan.options.relative_ridge)
        gnq[name] = np.asarray(found, float)
    first = jax.tree.map(lambda a: a[: plan.options.sensitivity_examples], batch)
    # The parts of the tree at its top have no parameter in common: their squares add up.
    parts = tuple(network.params)
    moved = leakage.input_sensitivity(
        network.loss_fn,
        network.params,
        first,
        layers=tuple(dict.fromkeys((*plan.layers, *parts))),
        is_input=(True, *[False] * (len(batch) - 1)),
        num_probes=plan.options.probes,
        key=jax.random.fold_in(jax.random.key(seed), _PROBES),
    )
    norms = {name: np.asarray(of_layer.norm, np.float64) for name, of_layer in moved.items()}
    norms[WHOLE] = np.sqrt(sum(norms[part] ** 2 for part in parts))
    size = np.linalg.norm(first[0].reshape(len(first[0]), -1), axis=1)
    return _OfNetwork(gradients, gnq, {name: norms[name] * size for name in gradients})


def _information(
    observed: Mapping[Key, Observed], x: np.ndarray, pool: Pool, plan: Plan, seed: int
) -> Information:
    features = {key: seen.features for key, seen in observed.items()}
    components = leakage.principal_coordinates({"x": x}, plan.options.input_components)
    return {
        (target, name): leakage.v_information(  # type: ignore[type-var]
            features, values, family, folds=pool.folds, seed=seed
        )
        for target, values in (("attribute", pool.attribute), ("input", components))
        for name, family in FAMILIES.items()
    }


def _subspaces(seen: Observed, pool: Pool, plan: Plan, seed: int) -> Iterator[dict[str, Any]]:
    """Distances, from 0 to 1, for every k up to the least rank of gradients that are compared.

    Of an attribute with more than two values, each is compared with all others: means over them.
    """
    values = np.unique(pool.attribute)
    having = [pool.attribute == value for value in (values if len(values) > 2 else values[1:])]
    kinds = [seen.rows[part] for has in having for part in (has, ~has)]
    rank = min(int(np.linalg.matrix_rank(rows, rtol=1e-5)) for rows in kinds)
    if not (ks := [k for k in plan.options.subspace_dimensions if k <= rank]):
        return
    of_values = [
        leakage.subspace_distance(seen.rows, has, ks, num_shuffles=_SHUFFLES, seed=seed)
        for has in having
    ]
    for k, *found in zip(ks, *of_values):
        distance = np.mean([one.projection for one in found]) / np.sqrt(k)
        control = Interval(*np.mean([one.control for one in found], axis=0) / np.sqrt(k))
        yield {"k": k, "distance": distance, **_with_ends("control", control)}


def _invert(
    plan: Plan, networks: Mapping[At, Network], pool: Pool, seed: int
) -> dict[tuple[int, str], Recovered]:
    """What inversion recovers from the first examples of the pool, by epoch and layer."""
    victims = chosen(plan.task.dataset.train, pool.indices[: plan.options.victims])
    key = jax.random.fold_in(jax.random.key(seed), _VICTIMS)
    recovered = {}
    for epoch in plan.options.recovery_epochs:
        received = share(plan.shared, networks[0.0, epoch].params, victims, key)
        for layer, found in recover(received, victims, plan.layers, plan.budget, key).items():
            recovered[epoch, layer] = found
    return recovered


def _accuracy(plan: Plan, network: Network) -> float:
    test = plan.task.dataset.test
    logits = training.predict(plan.task.model.apply, network.params, test.x)
    return float(training.accuracy(logits, test.y))


def _layers_table(
    of_networks: Mapping[At, _OfNetwork],
    observed: Mapping[Key, Observed],
    information: Information,
    attacks: Mapping[Key, AttributeInference],
    controls: Mapping[Key, AttributeInference],
) -> pl.DataFrame:
    """One row for every condition and layer; controls are attacks on a shuffled attribute."""
    table = []
    for (condition, layer), seen in observed.items():
        network, attack = of_networks[condition.network], attacks[condition, layer]
        control = controls[condition, layer]
        # Of the mean gradient to the input of one example of the batch.
        sensitivity = network.sensitivity[layer] / condition.batch_size
        row = {
            **asdict(condition),
            "layer": layer,
            "num_parameters": network.gradients[layer].num_parameters,
            "gradient_norm": np.median(seen.norms),
            "gnq": np.median(network.gnq[layer]),
            "sensitivity": np.median(sensitivity / seen.norms[: len(sensitivity)]),
            **_with_ends("attack_accuracy", attack.accuracy),
            "majority": attack.majority,
            "auc": attack.auc,
            **_with_ends("attack_accuracy_control", control.accuracy),
            "auc_control": control.auc,
        }
        for (target, family), of_all in information.items():
            found = of_all[condition, layer]
            row |= _with_ends(f"{target}_{family}", found.information)
            row |= _with_ends(f"{target}_{family}_control", found.control)
        table.append(row)
    return pl.DataFrame(table)


def _examples_table(
    plan: Plan,
    pool: Pool,
    of_networks: Mapping[At, _OfNetwork],
    information: Information,
    attacks: Mapping[Key, AttributeInference],
    recovered: Mapping[tuple[int, str], Recovered],
) -> pl.DataFrame:
    """One row for every epoch at which gradients were inverted, layer and example of the pool.

    What was measured on some of the examples only is null for the others. `recovered` is the
    structural similarity of images, and 1 − the relative error of what are no images.
    """
    train = plan.task.dataset.train
    own_class = np.unique(pool.attribute, return_inverse=True)[1][:, None]

    def padded(values: np.ndarray) -> np.ndarray:
        return np.pad(values, (0, len(own_class) - len(values)), constant_values=np.nan)

    parts = []
    for (epoch, layer), found in recovered.items():
        condition = Condition(epoch)
        network, attack = of_networks[condition.network], attacks[condition, layer]
        norms = network.gradients[layer].norms
        columns = {
            "id": train.ids[pool.indices],
            "label": train.y[pool.indices],
            "attribute": plan.attribute.named(pool.attribute),
            "gnq": network.gnq[layer],
            "gradient_norm": norms,
            "sensitivity": padded(network.sensitivity[layer]) / norms,
            **{
                f"pointwise_{target}": information[target, "mlp"][condition, layer].pointwise
                for target in ("attribute", "input")
            },
            "attack_confidence": np.take_along_axis(attack.probabilities, own_class, axis=1)[:, 0],
            "attack_success": attack.success,
            **{
                name: padded(found.quality[name].cast(pl.Float64).to_numpy())
                for name in ("ssim", "mse", "feature_error", "matching_loss")
            },
        }
        where = pl.lit(epoch).alias("epoch"), pl.lit(layer).alias("layer")
        parts.append(pl.DataFrame(columns).select(*where, pl.all()))
    share = pl.col("ssim") if plan.space.is_image else 1 - pl.col("feature_error")
    table = pl.concat(parts).with_columns(share.alias("recovered"))
    return table.with_columns(pl.col(pl.Float64).fill_nan(None))


def _with_ends(name: str, interval: Interval) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), interval))
