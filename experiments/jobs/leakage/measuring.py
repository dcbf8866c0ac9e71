"""One seed of the job: networks are trained, their gradients measured, and inverted."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from experiments.framework.progress import Steps
from experiments.inversion import SearchBudget, SharedUpdate, Victims, share
from experiments.jobs.leakage.attributes import Attribute
from experiments.jobs.leakage.conditions import Condition
from experiments.jobs.leakage.networks import At, Network, batch_of, train_networks
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
from experiments.tasks.task import Task
from gujax.attacks.attributes import AttributeInference, infer_attribute
from gujax.leakage import (
    Family,
    SubspaceDistance,
    VInformation,
    input_sensitivity,
    linear,
    mlp,
    principal_coordinates,
    subspace_distance,
    v_information,
)

FAMILIES: Mapping[str, Family] = {"linear": linear(), "mlp": mlp(16)}
STEPS_PER_SEED = 4

# Of a seed's key; what training splits off the same key serves nothing of the kind.
_PROBES, _VICTIMS = 2, 3

Key = tuple[Condition, str]
"""A condition and a layer."""


class Measured(NamedTuple):
    """What one seed measured.

    Attributes:
        pool: The examples whose gradients were looked at; victims are the first of them.
        x: Their inputs, standardized, [examples, ...].
        networks: By dropout rate and epoch.
        gradients: Of every network and layer.
        sensitivities: Of every network and layer: ‖∂g/∂x‖ for the first examples of the pool.
        batches: Under every condition, the batch of each example.
        observed: What is shared, by condition and layer.
        information: V-information by target ("attribute", "input") and family of predictors.
        attacks: Attribute inference.
        subspaces: Distances with and without the attribute.
        recovered: What inversion found, by epoch and layer.
    """

    pool: Pool
    x: Float[np.ndarray, "examples ..."]
    networks: Mapping[At, Network]
    gradients: Mapping[At, Mapping[str, LayerGradients]]
    sensitivities: Mapping[At, Mapping[str, Float[np.ndarray, " some"]]]
    batches: Mapping[Condition, Int[np.ndarray, "examples batch"]]
    observed: Mapping[Key, Observed]
    information: Mapping[tuple[str, str], Mapping[Key, VInformation]]
    attacks: Mapping[Key, AttributeInference]
    subspaces: Mapping[Key, Sequence[SubspaceDistance]]
    recovered: Mapping[tuple[int, str], Recovered]


def measure_seed(
    task: Task,
    shared: SharedUpdate,
    budget: SearchBudget,
    attribute: Attribute,
    plan: Plan,
    seed: int,
    steps: Steps,
) -> Measured:
    """Everything of one seed; takes `STEPS_PER_SEED` steps of the progress.

    Args:
        task: Data, standardized, and model.
        shared: The plain network as `experiments.inversion` attacks it.
        budget: How its gradients are inverted.
        attribute: The private attribute.
        plan: What is measured.
        seed: Seed of the pool, the network, its training and all noise.
        steps: Progress.
    """
    pool = draw_pool(attribute.values, plan.examples, plan.num_folds, seed)
    train = task.dataset.train
    x, y = train.x[pool.indices], train.y[pool.indices]
    with steps.step(f"seed {seed}: training, gradients, sensitivity"):
        networks = train_networks(
            task,
            plan.conditions,
            plan.dropped,
            learning_rate=plan.learning_rate,
            batch_size=plan.batch_size,
            seed=seed,
        )
        gradients = {
            at: layer_gradients(
                network.loss_fn, network.params, batch_of(network, x, y, seed), plan.layers
            )
            for at, network in networks.items()
        }
        sensitivities = {
            at: _sensitivity(network, x, y, plan, seed) for at, network in networks.items()
        }
    batches = {condition: companions(pool, condition, seed) for condition in plan.conditions}
    observed = _observe_all(gradients, batches, plan, seed)
    with steps.step(f"seed {seed}: V-information"):
        information = _information(observed, x, pool, plan, seed)
    with steps.step(f"seed {seed}: attribute inference and subspaces"):
        attacks = {
            key: infer_attribute(seen.features, pool.attribute, folds=pool.folds, seed=seed)
            for key, seen in observed.items()
        }
        subspaces = {key: _subspaces(seen, pool, plan, seed) for key, seen in observed.items()}
    with steps.step(f"seed {seed}: inversion, layer by layer"):
        count = plan.victims
        victims = Victims(x[:count], y[:count], train.ids[pool.indices[:count]])
        key = jax.random.fold_in(jax.random.key(seed), _VICTIMS)
        recovered: dict[tuple[int, str], Recovered] = {}
        for epoch in plan.recovery_epochs:
            received = share(shared, networks[0.0, epoch].params, victims, key)
            of_layers = recover(received, victims, plan.layers, budget, key)
            recovered |= {(epoch, layer): found for layer, found in of_layers.items()}
    return Measured(
        pool,
        x,
        networks,
        gradients,
        sensitivities,
        batches,
        observed,
        information,
        attacks,
        subspaces,
        recovered,
    )


def _sensitivity(
    network: Network, x: np.ndarray, y: np.ndarray, plan: Plan, seed: int
) -> dict[str, Float[np.ndarray, " some"]]:
    """‖∂g/∂x‖ of every layer and of all of them."""
    batch = jax.tree.map(lambda a: a[: plan.sensitivity_examples], batch_of(network, x, y, seed))
    # The parts of the tree at its top have no parameter in common: their squares add up.
    parts = tuple(network.params)
    found = input_sensitivity(
        network.loss_fn,
        network.params,
        batch,
        layers=tuple(dict.fromkeys((*plan.layers, *parts))),
        is_input=(True, *[False] * (len(batch) - 1)),
        num_probes=plan.probes,
        key=jax.random.fold_in(jax.random.key(seed), _PROBES),
    )
    norms = {name: np.asarray(of_layer.norm, np.float64) for name, of_layer in found.items()}
    whole = np.sqrt(sum(norms[part] ** 2 for part in parts))
    return {**{name: norms[name] for name in plan.layers}, WHOLE: whole}


def _observe_all(
    gradients: Mapping[At, Mapping[str, LayerGradients]],
    batches: Mapping[Condition, Int[np.ndarray, "examples batch"]],
    plan: Plan,
    seed: int,
) -> dict[Key, Observed]:
    observed: dict[Key, Observed] = {}
    for condition, members in batches.items():
        of_layers = gradients[condition.dropout, condition.epoch]
        seen = observe(of_layers, members, condition.noise, plan.width, seed)
        observed |= {(condition, layer): of_layer for layer, of_layer in seen.items()}
    return observed


def _information(
    observed: Mapping[Key, Observed], x: np.ndarray, pool: Pool, plan: Plan, seed: int
) -> dict[tuple[str, str], dict[Key, VInformation]]:
    features = {key: seen.features for key, seen in observed.items()}
    components = principal_coordinates({"x": x}, plan.input_components)
    return {
        (target, name): v_information(  # type: ignore[type-var]
            features, values, family, folds=pool.folds, seed=seed
        )
        for target, values in (("attribute", pool.attribute), ("input", components))
        for name, family in FAMILIES.items()
    }


def _subspaces(seen: Observed, pool: Pool, plan: Plan, seed: int) -> tuple[SubspaceDistance, ...]:
    """Distances for every k up to the rank of the gradients of either kind."""
    rank = min(
        int(np.linalg.matrix_rank(seen.rows[part], rtol=1e-5))
        for part in (pool.attribute, ~pool.attribute)
    )
    ks = [k for k in plan.ks if k <= rank]
    if not ks:
        return ()
    return subspace_distance(seen.rows, pool.attribute, ks, num_shuffles=plan.shuffles, seed=seed)
