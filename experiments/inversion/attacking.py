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
from experiments.inversion.sharing import Shared, Sharing, View
from experiments.inversion.space import Space
from experiments.tasks.task import ModelName
from gujax.attacks import inversion
from gujax.attacks.inversion.leaves import LeafWeights
from gujax.gradients.algebra import named_leaves


@dataclass(frozen=True)
class Effort:
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
    def suited(cls, space: Space, model: ModelName, **others: Any) -> "Effort":
        """What suits a model, but for those of ``others`` that are not None.

        The gradient of an MLP alone determines its input: little smoothing is needed, and few
        steps.
        """
        iterations, rate, smoothing = (150, 0.1, 1e-2) if model == "mlp" else (300, 0.2, 3e-2)
        chosen = {name: value for name, value in others.items() if value is not None}
        effort = cls(space, iterations, rate, smoothing)
        return replace(effort, **chosen)


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
        run: ``run(shared, effort, key)``.
    """

    label: str
    what: str
    applies: Callable[[Sharing], bool]
    run: Callable[[Shared, Effort, PRNGKeyArray], Outcome]


REGISTRY: dict[str, Attack] = {}


def _attack(name: str, label: str, what: str, applies: Callable[[Sharing], bool]):
    def register(run: Callable[[Shared, Effort, PRNGKeyArray], Outcome]):
        REGISTRY[name] = Attack(label, what, applies, run)
        return run

    return register


def attack(shared: Shared, name: str, effort: Effort, key: PRNGKeyArray) -> Outcome:
    """Makes one attack.

    Args:
        shared: What was shared.
        name: A name of `REGISTRY` whose attack applies to the defense.
        effort: How searches are made.
        key: PRNG key of their starts.
    """
    return REGISTRY[name].run(shared, effort, key)


def applicable(sharing: Sharing, names: Sequence[str]) -> list[str]:
    """Of these attacks, those that can be made on the defense.

    The adaptive one is never left out where inputs are attacked.

    Args:
        sharing: The defense.
        names: Names of `REGISTRY`.
    """
    wanted = names if set(names) <= {"idlg", "labels"} else [*names, "adaptive"]
    return [name for name in REGISTRY if name in wanted and REGISTRY[name].applies(sharing)]


def check_attacks(names: Sequence[str]) -> None:
    """Checks that all attacks are known.

    Raises:
        UserError: One is not.
    """
    for name in names:
        if name not in REGISTRY:
            raise UserError(f"unknown attack '{name}'; choose from {', '.join(REGISTRY)}")


def check_leaves(sharing: Sharing, effort: Effort) -> None:
    """Checks that the leaves to match are there, under every attacker's choice of leaves.

    Raises:
        UserError: Nothing would be matched.
    """
    paths = [path for path, _ in named_leaves(_shapes(sharing))]
    for view in (sharing.naive, sharing.adaptive, sharing.averaged):
        if view is None:
            continue
        try:
            weights = _leaf_weights(view, effort)(paths)
        except ValueError as error:
            raise UserError(f"--match: {error}") from error
        if not any(weights):
            matched = f"--match {' '.join(effort.leaves)}" if effort.leaves else "the bottleneck"
            raise UserError(
                f"{matched} leaves nothing to match for an attack on the defense "
                f"'{sharing.label}', of whose gradients the following are stochastic: "
                f"{', '.join(sharing.stochastic) or 'none'}"
            )


@_attack(
    "ig",
    "IG",
    "Inverting Gradients; matches all leaves and does not know of the defense",
    lambda sharing: True,
)
def _inverting_gradients(shared: Shared, effort: Effort, key: PRNGKeyArray) -> Outcome:
    return _search(shared, shared.sharing.naive, effort, key)


@_attack(
    "adaptive",
    "IG adaptive",
    "Inverting Gradients by an attacker who knows the defense",
    lambda sharing: sharing.adaptive is not None,
)
def _adaptive(shared: Shared, effort: Effort, key: PRNGKeyArray) -> Outcome:
    assert shared.sharing.adaptive is not None
    return _search(shared, shared.sharing.adaptive, effort, key)


@_attack(
    "averaged",
    "IG averaged",
    "Inverting Gradients, averaging over a bottleneck's noise",
    lambda sharing: sharing.averaged is not None,
)
def _averaged(shared: Shared, effort: Effort, key: PRNGKeyArray) -> Outcome:
    assert shared.sharing.averaged is not None
    return _search(shared, shared.sharing.averaged, effort, key)


@_attack(
    "dlg", "DLG", "squared distance and L-BFGS; searches for the labels too", lambda sharing: True
)
def _dlg(shared: Shared, effort: Effort, key: PRNGKeyArray) -> Outcome:
    x, y = shared.examples
    found = inversion.invert_many(
        _dlg_attack(effort),
        shared.sharing.naive.model_of_update(),
        shared.params,
        shared.updates,
        jax.random.split(key, len(y)),
        inputs_like=x[0],
        num_classes=shared.sharing.num_classes,
        progress=False,
    )
    order = _orders(found.inputs, x, effort.space)
    labels = np.take_along_axis(np.asarray(found.labels).argmax(-1), order, axis=1)
    return _flat(found, order)._replace(labels=labels.ravel())


@_attack(
    "analytic",
    "analytic",
    "the input of a first fully connected layer, in closed form",
    lambda sharing: first_linear_layer(sharing) is not None,
)
def _analytic(shared: Shared, effort: Effort, key: PRNGKeyArray) -> Outcome:
    path = first_linear_layer(shared.sharing)
    leaves = dict(named_leaves(shared.updates))
    found = jax.vmap(inversion.first_layer_input)(leaves[f"{path}/kernel"], leaves[f"{path}/bias"])
    x, y = shared.examples
    # One input per update; for each of its examples it is all that there is.
    inputs = jnp.broadcast_to(found.reshape(len(y), 1, *x.shape[2:]), x.shape)
    return Outcome(np.asarray(inputs).reshape(-1, *x.shape[2:]))


@_attack(
    "idlg",
    "iDLG labels",
    "the label of one example, from the last layer's kernel",
    lambda sharing: sharing.num_examples == 1,
)
def _idlg(shared: Shared, effort: Effort, key: PRNGKeyArray) -> Outcome:
    kernel, _ = _last_layer(shared)
    return Outcome(labels=np.asarray(jax.vmap(inversion.idlg_label)(kernel)))


@_attack(
    "labels",
    "label counts",
    "the labels of a batch, from the last layer's bias",
    lambda sharing: True,
)
def _labels(shared: Shared, effort: Effort, key: PRNGKeyArray) -> Outcome:
    _, bias = _last_layer(shared)
    truth = np.asarray(shared.examples[1])
    counted = jax.vmap(partial(inversion.count_labels, batch_size=truth.shape[1]))(bias)
    aligned = [_align(found, wanted) for found, wanted in zip(np.asarray(counted), truth)]
    return Outcome(labels=np.concatenate(aligned))


def curvature_text(sharpness: float) -> str:
    """What is to be said of how a search differentiates ReLU.

    Args:
        sharpness: That of its `Effort`.
    """
    if not sharpness:
        return "Searches follow the true second derivative of ReLU, which is 0, as published."
    return (
        "The gradients that searches compare are exact; in differentiating them again, ReLU is "
        f"given the second derivative of softplus (sharpness {sharpness:g}) in place of 0, which "
        "as published leaves a search in the pattern of active units that it comes upon."
    )


def first_linear_layer(sharing: Sharing) -> str | None:
    """Path of a fully connected layer with bias that sees the input itself; None without one."""
    paths = [path for path, _ in named_leaves(_shapes(sharing))]
    return "layers/0" if {"layers/0/kernel", "layers/0/bias"} <= set(paths) else None


def _search(shared: Shared, view: View, effort: Effort, key: PRNGKeyArray) -> Outcome:
    x, y = shared.examples
    found = inversion.invert_many(
        inverting_gradients(view, effort),
        view.model_of_update(effort.sharpness),
        shared.params,
        shared.updates,
        jax.random.split(key, len(y)),
        inputs_like=x[0],
        labels=_told(view.told, shared.params, shared.examples),
        progress=False,
    )
    return _flat(found, _orders(found.inputs, x, effort.space))


@cache  # the same object for the same arguments, so that it is compiled once
def inverting_gradients(view: View, effort: Effort) -> inversion.GradientMatching:
    """The search of an attacker, with so much effort."""
    attack = inversion.inverting_gradients(
        effort.iterations,
        limits=effort.space.limits,
        learning_rate=effort.learning_rate,
        total_variation_weight=view.smoothing * effort.total_variation * effort.space.is_image,
        leaf_weights=_leaf_weights(view, effort),
        num_restarts=effort.restarts,
    )
    return replace(attack, matching_loss=view.matching_loss)


@cache
def _dlg_attack(effort: Effort) -> inversion.GradientMatching:
    return inversion.dlg(
        effort.dlg_iterations,
        leaf_weights=inversion.only(*effort.leaves) if effort.leaves else inversion.every_leaf,
        num_restarts=effort.restarts,
    )


def _leaf_weights(view: View, effort: Effort) -> LeafWeights:
    """The attacker's own choice of leaves, of those that the user asks for."""
    if not effort.leaves:
        return view.leaf_weights
    chosen = inversion.only(*effort.leaves)
    return lambda paths: [a * b for a, b in zip(view.leaf_weights(paths), chosen(paths))]


@partial(jax.jit, static_argnums=0)
def _told(told: Callable, params: PyTree, examples: PyTree) -> PyTree:
    return jax.vmap(told, (None, 0))(params, examples)


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


def _last_layer(shared: Shared) -> tuple[Float[Array, "victims features classes"], Array]:
    """Gradients of the last layer's kernel and bias, [V, ...]."""
    leaves = dict(named_leaves(shared.updates))
    path = shared.sharing.last_layer
    return leaves[f"{path}/kernel"], leaves[f"{path}/bias"]


def _shapes(sharing: Sharing) -> PyTree:
    return jax.eval_shape(sharing.model.init, jax.random.key(0))
