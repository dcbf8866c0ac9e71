"""What inversion of each layer's gradient alone recovers of the input."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from experiments.inversion.measuring import rows
from experiments.inversion.search import Outcome, SearchBudget, inverting_gradients
from experiments.inversion.sharing import Received, Victims
from experiments.jobs.leakage.observing import WHOLE
from gujax.attacks import inversion
from gujax.training import GradientFn
from gujax.trees import named_leaves


class Recovered(NamedTuple):
    """What inversion found of the victims.

    Attributes:
        quality: One row per victim, as `experiments.inversion.rows` gives it.
        inputs: The reconstructions, in the data set's own values.
    """

    quality: pl.DataFrame
    inputs: Float[np.ndarray, "victims ..."]


def recover(
    received: Received,
    victims: Victims,
    layers: Sequence[str],
    budget: SearchBudget,
    key: PRNGKeyArray,
) -> dict[str, Recovered]:
    """Inverting Gradients on each layer's gradient alone, and on the whole gradient.

    All layers are attacked at once, as if each were a victim of its own that is told which leaves
    it shares: so the search is compiled once, and not for every layer.

    Args:
        received: What V victims of one example each shared.
        victims: These examples.
        layers: Prefixes of the parameter tree.
        budget: How the searches are made.
        key: PRNG key of their starts, the same for every layer.
    """
    naive = received.shared.naive
    x, y = received.examples
    paths = [path for path, _ in named_leaves(received.updates)]
    masks = [inversion.only(layer)(paths) for layer in layers] + [inversion.every_leaf(paths)]

    def of_every_layer(values: Array) -> Array:
        return jnp.concatenate([values] * len(masks))

    # As labels are, masks are told for each example of a victim, of which there is one.
    repeated = jnp.repeat(jnp.asarray(masks)[:, None], len(y), axis=0)
    side_information = (of_every_layer(y), repeated)
    found = inversion.invert_many(
        inverting_gradients(naive, budget),
        _masked_gradient(naive.model_of_update(budget.sharpness)),
        received.params,
        jax.vmap(_mask)(jax.tree.map(of_every_layer, received.updates), side_information[1]),
        of_every_layer(jax.random.split(key, len(y))),
        inputs_like=x[0],
        labels=side_information,
    )
    inputs = np.split(np.asarray(found.inputs[:, 0]), len(masks))
    losses = np.split(np.asarray(found.matching_loss), len(masks))
    return {
        layer: Recovered(
            rows(received, "ig", Outcome(of_layer, matching_loss=loss), victims, budget.space),
            budget.space.restore(of_layer),
        )
        for layer, of_layer, loss in zip((*layers, WHOLE), inputs, losses)
    }


@cache  # the same object for every seed and epoch, so that nothing is compiled again
def _masked_gradient(gradient_fn: GradientFn) -> GradientFn:
    def masked(params: PyTree, examples: PyTree) -> PyTree:
        x, (y, masks) = examples
        return _mask(gradient_fn(params, (x, y)), masks)

    return masked


def _mask(update: PyTree, masks: Float[Array, "examples leaves"]) -> PyTree:
    leaves, structure = jax.tree.flatten(update)
    (mask,) = masks
    return jax.tree.unflatten(structure, [leaf * kept for leaf, kept in zip(leaves, mask)])
