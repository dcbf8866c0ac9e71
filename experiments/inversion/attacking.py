"""The attacks by name. A new one is one function here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from experiments.framework.errors import UserError
from experiments.inversion.sharing import Adversary, Received, SharedUpdate
from experiments.inversion.space import Space
from experiments.tasks.task import ModelName
from gujax.attacks import inversion
from gujax.attacks.inversion.leaves import LeafWeights
from gujax.gradients.algebra import named_leaves


@dataclass(frozen=True)
class SearchBudget:
    """How the searches are made.

    Attributes:
        space: What the inputs may be.
        iterations: Steps of Inverting Gradients.
        learning_rate: Of its signed Adam, in standardized units.
        total_variation: Weight of the total variation; of no effect on inputs that are no images.
        sharpness: Of the second derivative that Inverting Gradients gives to ReLU, which has none;
            0 for none, as published. DLG's line search needs the true derivatives.
        restarts: Searches in parallel from different starts.
        dlg_iterations: Steps of DLG.
        leaves: Match only leaves under these prefixes; all if empty.
    """

    space: Space
    iterations: int
    learning_rate: float
    total_variation: float
    sharpness: float = 1.0
    restarts: int = 1
    dlg_iterations: int = 300
    leaves: tuple[str, ...] = ()

    @classmethod
    def suited(cls, space: Space, model: ModelName, **others: Any) -> "SearchBudget":
        """What suits a model, but for those of ``others`` that are not None.

        The gradient of an MLP alone determines its input: little smoothing is needed, and few
        steps.
        """
        iterations, rate, smoothing = (150, 0.1, 1e-2) if model == "mlp" else (300, 0.2, 3e-2)
        chosen = {name: value for name, value in others.items() if value is not None}
        budget = cls(space, iterations, rate, smoothing)
        return replace(budget, **chosen)


class Outcome(NamedTuple):
    """What an attack found of N victims, in their order.

    Attributes:
        inputs: Reconstructions, [N, ...], standardized; None for an attack on labels alone.
        labels: Labels, [N]; None for an attack that was told them.
        matching_loss: That of the update which an example is part of, [N]; None without a search.
    """

    inputs: Float[np.ndarray, "examples ..."] | None = None
    labels: Int[np.ndarray, "examples"] | None = None
    matching_loss: Float[np.ndarray, "examples"] | None = None


@dataclass(frozen=True)
class Attack:
    """One line of the registry.

    Attributes:
        label: Its name in tables and figures.
        what: What it does, in a sentence.
        applies: Whether it can be made on a defense.
        run: ``run(received, budget, key)``.
    """

    label: str
    what: str
    applies: Callable[[SharedUpdate], bool]
    run: Callable[[Received, SearchBudget, PRNGKeyArray], Outcome]


REGISTRY: dict[str, Attack] = {}


def _attack(name: str, label: str, what: str, applies: Callable[[SharedUpdate], bool]):
    def register(run: Callable[[Received, SearchBudget, PRNGKeyArray], Outcome]):
        REGISTRY[name] = Attack(label, what, applies, run)
        return run

    return register


def attack(received: Received, name: str, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    """Makes one attack.

    Args:
        received: What was shared.
        name: A name of `REGISTRY` whose attack applies to the defense.
        budget: How searches are made.
        key: PRNG key of their starts.
    """
    return REGISTRY[name].run(received, budget, key)


def applicable(shared: SharedUpdate, names: Sequence[str]) -> list[str]:
    """Of these attacks, those that can be made on the defense.

    The adaptive one is never left out where inputs are attacked.

    Args:
        shared: The defense.
        names: Names of `REGISTRY`.
    """
    wanted = names if set(names) <= {"idlg", "labels"} else [*names, "adaptive"]
    return [name for name in REGISTRY if name in wanted and REGISTRY[name].applies(shared)]


def check_attacks(names: Sequence[str]) -> None:
    """Checks that all attacks are known.

    Raises:
        UserError: One is not.
    """
    for name in names:
        if name not in REGISTRY:
            raise UserError(f"unknown attack '{name}'; choose from {', '.join(REGISTRY)}")


def check_leaves(shared: SharedUpdate, budget: SearchBudget) -> None:
    """Checks that the leaves to match are there, under every attacker's choice of leaves.

    Raises:
        UserError: Nothing would be matched.
    """
    paths = [path for path, _ in named_leaves(_shapes(shared))]
    for adversary in (shared.naive, shared.adaptive, shared.averaged):
        if adversary is None:
            continue
        try:
            weights = _leaf_weights(adversary, budget)(paths)
        except ValueError as error:
            raise UserError(f"--match: {error}") from error
        if not any(weights):
            matched = f"--match {' '.join(budget.leaves)}" if budget.leaves else "the bottleneck"
            raise UserError(
                f"{matched} leaves nothing to match for an attack on the defense "
                f"'{shared.label}', of whose gradients the following are stochastic: "
                f"{', '.join(shared.stochastic) or 'none'}"
            )


@_attack(
    "ig",
    "IG",
    "Inverting Gradients; matches all leaves and does not know of the defense",
    lambda shared: True,
)
def _inverting_gradients(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    return _search(received, received.shared.naive, budget, key)


@_attack(
    "adaptive",
    "IG adaptive",
    "Inverting Gradients by an attacker who knows the defense",
    lambda shared: shared.adaptive is not None,
)
def _adaptive(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    assert received.shared.adaptive is not None
    return _search(received, received.shared.adaptive, budget, key)


@_attack(
    "averaged",
    "IG averaged",
    "Inverting Gradients, averaging over a bottleneck's noise",
    lambda shared: shared.averaged is not None,
)
def _averaged(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    assert received.shared.averaged is not None
    return _search(received, received.shared.averaged, budget, key)


@_attack(
    "dlg", "DLG", "squared distance and L-BFGS; searches for the labels too", lambda shared: True
)
def _dlg(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    x, y = received.examples
    found = inversion.invert_many(
        _dlg_attack(budget),
        received.shared.naive.model_of_update(),
        received.params,
        received.updates,
        jax.random.split(key, len(y)),
        inputs_like=x[0],
        num_classes=received.shared.num_classes,
        progress=False,
    )
    order = _orders(found.inputs, x, budget.space)
    labels = np.take_along_axis(np.asarray(found.labels).argmax(-1), order, axis=1)
    return _flat(found, order)._replace(labels=labels.ravel())


@_attack(
    "analytic",
    "analytic",
    "the input of a first fully connected layer, in closed form",
    lambda shared: first_linear_layer(shared) is not None,
)
def _analytic(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    path = first_linear_layer(received.shared)
    leaves = dict(named_leaves(received.updates))
    found = jax.vmap(inversion.first_layer_input)(leaves[f"{path}/kernel"], leaves[f"{path}/bias"])
    x, y = received.examples
    # One input per update; for each of its examples it is all that there is.
    inputs = jnp.broadcast_to(found.reshape(len(y), 1, *x.shape[2:]), x.shape)
    return Outcome(np.asarray(inputs).reshape(-1, *x.shape[2:]))


@_attack(
    "idlg",
    "iDLG labels",
    "the label of one example, from the last layer's kernel",
    lambda shared: shared.num_examples == 1,
)
def _idlg(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    kernel, _ = _last_layer(received)
    return Outcome(labels=np.asarray(jax.vmap(inversion.idlg_label)(kernel)))


@_attack(
    "labels",
    "label counts",
    "the labels of a batch, from the last layer's bias",
    lambda shared: True,
)
def _labels(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    _, bias = _last_layer(received)
    truth = np.asarray(received.examples[1])
    counted = jax.vmap(partial(inversion.count_labels, batch_size=truth.shape[1]))(bias)
    aligned = [_align(found, wanted) for found, wanted in zip(np.asarray(counted), truth)]
    return Outcome(labels=np.concatenate(aligned))


def curvature_text(sharpness: float) -> str:
    """What is to be said of how a search differentiates ReLU.

    Args:
        sharpness: That of its `SearchBudget`.
    """
    if not sharpness:
        return "Searches follow the true second derivative of ReLU, which is 0, as published."
    return (
        "The gradients that searches compare are exact; in differentiating them again, ReLU is "
        f"given the second derivative of softplus (sharpness {sharpness:g}) in place of 0, which "
        "as published leaves a search in the pattern of active units that it comes upon."
    )


def first_linear_layer(shared: SharedUpdate) -> str | None:
    """Path of a fully connected layer with bias that sees the input itself; None without one."""
    paths = [path for path, _ in named_leaves(_shapes(shared))]
    return "layers/0" if {"layers/0/kernel", "layers/0/bias"} <= set(paths) else None


def _search(
    received: Received, adversary: Adversary, budget: SearchBudget, key: PRNGKeyArray
) -> Outcome:
    x, y = received.examples
    found = inversion.invert_many(
        inverting_gradients(adversary, budget),
        adversary.model_of_update(budget.sharpness),
        received.params,
        received.updates,
        jax.random.split(key, len(y)),
        inputs_like=x[0],
        labels=_side_information(adversary.side_information, received.params, received.examples),
        progress=False,
    )
    return _flat(found, _orders(found.inputs, x, budget.space))


@cache  # the same object for the same arguments, so that it is compiled once
def inverting_gradients(adversary: Adversary, budget: SearchBudget) -> inversion.GradientMatching:
    """The search of an attacker, with so much effort."""
    attack = inversion.inverting_gradients(
        budget.iterations,
        limits=budget.space.limits,
        learning_rate=budget.learning_rate,
        total_variation_weight=adversary.smoothing * budget.total_variation * budget.space.is_image,
        leaf_weights=_leaf_weights(adversary, budget),
        num_restarts=budget.restarts,
    )
    return replace(attack, matching_loss=adversary.matching_loss)


@cache
def _dlg_attack(budget: SearchBudget) -> inversion.GradientMatching:
    return inversion.dlg(
        budget.dlg_iterations,
        leaf_weights=inversion.only(*budget.leaves) if budget.leaves else inversion.every_leaf,
        num_restarts=budget.restarts,
    )


def _leaf_weights(adversary: Adversary, budget: SearchBudget) -> LeafWeights:
    """The attacker's own choice of leaves, of those that the user asks for."""
    if not budget.leaves:
        return adversary.leaf_weights
    chosen = inversion.only(*budget.leaves)
    return lambda paths: [a * b for a, b in zip(adversary.leaf_weights(paths), chosen(paths))]


@partial(jax.jit, static_argnums=0)
def _side_information(side_information: Callable, params: PyTree, examples: PyTree) -> PyTree:
    return jax.vmap(side_information, (None, 0))(params, examples)


def _orders(inputs: Array, truth: Array, space: Space) -> Int[np.ndarray, "victims batch"]:
    """For each update, which reconstruction is of which example."""
    found, wanted = (space.restore(x) for x in (inputs, truth))
    return np.stack([inversion.match_to_truth(a, b) for a, b in zip(found, wanted)])


def _flat(found: inversion.Reconstruction, order: Int[np.ndarray, "victims batch"]) -> Outcome:
    inputs = np.stack([np.asarray(x)[o] for x, o in zip(found.inputs, order)])
    losses = np.repeat(np.asarray(found.matching_loss), order.shape[1])
    return Outcome(inputs.reshape(-1, *inputs.shape[2:]), matching_loss=losses)


def _align(found: Int[np.ndarray, "batch"], truth: Int[np.ndarray, "batch"]) -> np.ndarray:
    """The labels in an order that agrees with the truth in as many places as possible."""
    left = list(found)
    aligned = np.full_like(truth, -1)
    for place, label in enumerate(truth):
        if label in left:
            left.remove(label)
            aligned[place] = label
    aligned[aligned < 0] = left
    return aligned


def _last_layer(received: Received) -> tuple[Float[Array, "victims features classes"], Array]:
    """Gradients of the last layer's kernel and bias, [V, ...]."""
    leaves = dict(named_leaves(received.updates))
    path = received.shared.last_layer
    return leaves[f"{path}/kernel"], leaves[f"{path}/bias"]


def _shapes(shared: SharedUpdate) -> PyTree:
    return jax.eval_shape(shared.model.init, jax.random.key(0))
