"""Searches for the inputs behind an update, as an adversary makes them with a budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from experiments.framework.errors import UserError, check_option
from experiments.inversion.sharing import Adversary, Received, SharedUpdate
from experiments.inversion.space import Space
from experiments.tasks.task import ModelName
from gujax.attacks import inversion
from gujax.trees import LeafWeights, named_leaves


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
        match: Match only leaves under these prefixes; all if empty.
    """

    space: Space
    iterations: int
    learning_rate: float
    total_variation: float
    sharpness: float = 1.0
    restarts: int = 1
    dlg_iterations: int = 300
    match: tuple[str, ...] = ()

    @classmethod
    def suited(cls, space: Space, model: ModelName, **others: Any) -> "SearchBudget":
        """What suits a model, but for those of ``others`` that are not None.

        The gradient of an MLP alone determines its input: little smoothing is needed, and few
        steps.
        """
        iterations, rate, smoothing = (150, 0.1, 1e-2) if model == "mlp" else (300, 0.2, 3e-2)
        chosen = {name: value for name, value in others.items() if value is not None}
        return replace(cls(space, iterations, rate, smoothing), **chosen)


class Outcome(NamedTuple):
    """What an attack found of N victims, in their order.

    Attributes:
        inputs: Reconstructions, [N, ...], standardized; None for an attack on labels alone.
        labels: Labels, [N]; None for an attack that was told them.
        matching_loss: That of the update which an example is part of, [N]; None without a search.
        refusals: Which condition of an exact attack does not hold for the update of an example, in
            words, or None, [N]; None of an attack without conditions.
    """

    inputs: Float[np.ndarray, "examples ..."] | None = None
    labels: Int[np.ndarray, " examples"] | None = None
    matching_loss: Float[np.ndarray, " examples"] | None = None
    refusals: Sequence[str | None] | None = None


def search(
    received: Received,
    adversary: Adversary | None,
    budget: SearchBudget,
    key: PRNGKeyArray,
    known: PyTree | None = None,
) -> Outcome:
    """Inverting Gradients by one of the adversaries that the defense has to stand.

    Args:
        received: The updates.
        adversary: Who searches.
        budget: How.
        key: Of the starts.
        known: What it is told of every victim; None for its own side information.
    """
    assert adversary is not None
    x, y = received.examples
    if known is None:
        known = _side_information(adversary.side_information, received.params, received.examples)
    found = inversion.invert_many(
        inverting_gradients(adversary, budget),
        adversary.model_of_update(budget.sharpness),
        received.params,
        received.updates,
        jax.random.split(key, len(y)),
        inputs_like=x[0],
        labels=known,
    )
    return flat(found, orders(found.inputs, x, budget.space))


@cache  # the same object for the same arguments, so that it is compiled once
def inverting_gradients(adversary: Adversary, budget: SearchBudget) -> inversion.GradientMatching:
    """The search of an adversary within a budget."""
    attack = inversion.inverting_gradients(
        budget.iterations,
        limits=budget.space.limits,
        learning_rate=budget.learning_rate,
        total_variation_weight=adversary.smoothing * budget.total_variation * budget.space.is_image,
        leaf_weights=_leaf_weights(adversary, budget),
        num_restarts=budget.restarts,
    )
    return replace(attack, matching_loss=adversary.matching_loss)


def check_leaves(shared: SharedUpdate, budget: SearchBudget) -> None:
    """Raises `UserError` if there is nothing to match under some adversary's choice of leaves."""
    paths = leaf_paths(shared)
    for adversary in (shared.naive, shared.adaptive, shared.averaged):
        if adversary is None:
            continue
        try:
            weights = _leaf_weights(adversary, budget)(paths)
        except ValueError as error:
            raise UserError(f"--match: {error}") from error
        matched = f"--match {' '.join(budget.match)}" if budget.match else "the bottleneck"
        check_option(
            any(weights),
            f"{matched} leaves nothing to match for an attack on the defense '{shared.label}', of "
            f"whose gradients the following are stochastic: {', '.join(shared.stochastic)}",
        )


def leaf_paths(shared: SharedUpdate) -> list[str]:
    """Paths of the leaves of an update."""
    shapes = jax.eval_shape(shared.model.init, jax.random.key(0))
    return [path for path, _ in named_leaves(shapes)]


def orders(inputs: Array, truth: Array, space: Space) -> Int[np.ndarray, "victims batch"]:
    """For each update, which reconstruction is of which example."""
    found, wanted = (space.restore(x) for x in (inputs, truth))
    return np.stack([inversion.match_to_truth(a, b) for a, b in zip(found, wanted)])


def flat(found: inversion.Reconstruction, order: Int[np.ndarray, "victims batch"]) -> Outcome:
    """What a search found of all updates, example by example, in an order."""
    inputs = np.stack([np.asarray(x)[o] for x, o in zip(found.inputs, order)])
    losses = np.repeat(np.asarray(found.matching_loss), order.shape[1])
    return Outcome(inputs.reshape(-1, *inputs.shape[2:]), matching_loss=losses)


def _leaf_weights(adversary: Adversary, budget: SearchBudget) -> LeafWeights:
    """The adversary's own choice of leaves, of those that the user asks for."""
    if not budget.match:
        return adversary.leaf_weights
    chosen = inversion.only(*budget.match)
    return lambda paths: [a * b for a, b in zip(adversary.leaf_weights(paths), chosen(paths))]


@partial(jax.jit, static_argnums=0)
def _side_information(known: Callable, params: PyTree, examples: PyTree) -> PyTree:
    return jax.vmap(known, (None, 0))(params, examples)
