"""What every seed does: networks are trained, their gradients measured, and inverted."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree
from threadpoolctl import threadpool_limits

import gujax
from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.inversion.sharing import Victims, share
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
)
from experiments.jobs.leakage.plan import Plan
from experiments.jobs.leakage.recovering import Recovered, recover
from gujax import leakage, training
from gujax.attacks.attributes import AttributeInference, infer_attribute

FAMILIES: Mapping[str, leakage.Family] = {"linear": leakage.linear(), "mlp": leakage.mlp(16)}
_SHUFFLES = 20  # of the control of the subspace distance

# Of a seed's key; what training splits off the same key serves nothing of the kind.
_PROBES, _VICTIMS = 2, 3

Key = tuple[Condition, str]
"""A condition and a layer."""

PerExample = Float[np.ndarray, " examples"]


class SeedLeakage(NamedTuple):
    """What one seed measured.

    Attributes:
        pool: The examples whose gradients were looked at; victims are the first of them.
        x: Their inputs, standardized, [examples, ...].
        accuracies: Test accuracy of every network.
        gradients: Of every network and layer.
        uniqueness: Of every network and layer: GNQ of each example within the pool.
        sensitivities: Of every network and layer: ‖∂g/∂x‖ for the first examples of the pool.
        observed: What is shared, by condition and layer.
        information: V-information by target ("attribute", "input") and family of predictors.
        attacks: Attribute inference.
        subspaces: Distances with and without the attribute.
        recovered: What inversion found, by epoch and layer.
    """

    pool: Pool
    x: Float[np.ndarray, "examples ..."]
    accuracies: Mapping[At, float]
    gradients: Mapping[At, Mapping[str, LayerGradients]]
    uniqueness: Mapping[At, Mapping[str, PerExample]]
    sensitivities: Mapping[At, Mapping[str, Float[np.ndarray, " some"]]]
    observed: Mapping[Key, Observed]
    information: Mapping[tuple[str, str], Mapping[Key, leakage.VInformation]]
    attacks: Mapping[Key, AttributeInference]
    subspaces: Mapping[Key, Sequence[leakage.SubspaceDistance]]
    recovered: Mapping[tuple[int, str], Recovered]


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> list[SeedLeakage]:
    """Measures every seed, from 0."""
    del directory
    # Hundreds of small decompositions: threads would only wait for each other.
    with threadpool_limits(1, user_api="blas"):
        return [_measure_seed(plan, seed, steps) for seed in range(plan.options.seeds)]


def _measure_seed(plan: Plan, seed: int, steps: Steps) -> SeedLeakage:
    """Everything of one seed: of its pool, its network, its training and all noise."""
    options, dataset = plan.options, plan.task.dataset
    pool = draw_pool(plan.attribute.values, options.examples, options.folds, seed)
    x, y = dataset.train.x[pool.indices], dataset.train.y[pool.indices]
    with steps.step(f"seed {seed}: training, gradients, sensitivity"):
        networks = train_networks(plan, seed)
        gradients, sensitivities = {}, {}
        for at, network in networks.items():
            batch = batch_of(network, x, y, seed)
            gradients[at] = layer_gradients(network.loss_fn, network.params, batch, plan.layers)
            sensitivities[at] = _sensitivity(network, batch, plan, seed)
    observed = {}
    for condition in plan.conditions:
        layers, batches = gradients[condition.network], companions(pool, condition, seed)
        for layer, seen in observe(layers, batches, condition.noise, options.width, seed).items():
            observed[condition, layer] = seen
    with steps.step(f"seed {seed}: V-information"):
        information = _information(observed, x, pool, plan, seed)
    with steps.step(f"seed {seed}: attribute inference and subspaces"):
        attacks = {
            key: infer_attribute(seen.features, pool.attribute, folds=pool.folds, seed=seed)
            for key, seen in observed.items()
        }
        subspaces = {key: _subspaces(seen, pool, plan, seed) for key, seen in observed.items()}
    with steps.step(f"seed {seed}: inversion, layer by layer"):
        recovered = _invert(plan, networks, pool, seed)
    return SeedLeakage(
        pool,
        x,
        {at: _accuracy(plan, network) for at, network in networks.items()},
        gradients,
        {at: _uniqueness(layers, options.relative_ridge) for at, layers in gradients.items()},
        sensitivities,
        observed,
        information,
        attacks,
        subspaces,
        recovered,
    )


def _sensitivity(
    network: Network, batch: PyTree, plan: Plan, seed: int
) -> dict[str, Float[np.ndarray, " some"]]:
    """‖∂g/∂x‖ of every layer and of all of them, for the first examples."""
    first = jax.tree.map(lambda a: a[: plan.options.sensitivity_examples], batch)
    # The parts of the tree at its top have no parameter in common: their squares add up.
    parts = tuple(network.params)
    found = leakage.input_sensitivity(
        network.loss_fn,
        network.params,
        first,
        layers=tuple(dict.fromkeys((*plan.layers, *parts))),
        is_input=(True, *[False] * (len(batch) - 1)),
        num_probes=plan.options.probes,
        key=jax.random.fold_in(jax.random.key(seed), _PROBES),
    )
    norms = {name: np.asarray(of_layer.norm, np.float64) for name, of_layer in found.items()}
    whole = np.sqrt(sum(norms[part] ** 2 for part in parts))
    return {**{name: norms[name] for name in plan.layers}, WHOLE: whole}


def _information(
    observed: Mapping[Key, Observed], x: np.ndarray, pool: Pool, plan: Plan, seed: int
) -> dict[tuple[str, str], dict[Key, leakage.VInformation]]:
    features = {key: seen.features for key, seen in observed.items()}
    components = leakage.principal_coordinates({"x": x}, plan.options.input_components)
    return {
        (target, name): leakage.v_information(  # type: ignore[type-var]
            features, values, family, folds=pool.folds, seed=seed
        )
        for target, values in (("attribute", pool.attribute), ("input", components))
        for name, family in FAMILIES.items()
    }


def _subspaces(
    seen: Observed, pool: Pool, plan: Plan, seed: int
) -> Sequence[leakage.SubspaceDistance]:
    """Distances for every k up to the rank of the gradients of either kind."""
    kinds = pool.attribute, ~pool.attribute
    rank = min(int(np.linalg.matrix_rank(seen.rows[kind], rtol=1e-5)) for kind in kinds)
    if not (ks := [k for k in plan.options.subspace_dimensions if k <= rank]):
        return ()
    return leakage.subspace_distance(
        seen.rows, pool.attribute, ks, num_shuffles=_SHUFFLES, seed=seed
    )


def _invert(
    plan: Plan, networks: Mapping[At, Network], pool: Pool, seed: int
) -> dict[tuple[int, str], Recovered]:
    """What inversion recovers from the first examples of the pool, by epoch and layer."""
    train, chosen = plan.task.dataset.train, pool.indices[: plan.options.victims]
    victims = Victims(train.x[chosen], train.y[chosen], train.ids[chosen])
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


def _uniqueness(
    layers: Mapping[str, LayerGradients], relative_ridge: float
) -> dict[str, PerExample]:
    """GNQ of each example within the pool, for every layer."""
    found = {}
    for name, layer in layers.items():
        gram = jnp.asarray(layer.gram, jnp.float32)
        found[name] = np.asarray(gujax.uniqueness(gram, relative_ridge=relative_ridge), float)
    return found
