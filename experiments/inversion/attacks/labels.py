"""How often each label is in a batch."""

from functools import partial

import jax
import numpy as np
from jaxtyping import Int, PRNGKeyArray

from experiments.inversion.attacks import Method
from experiments.inversion.search import Outcome, SearchBudget
from experiments.inversion.sharing import Received
from gujax.attacks import inversion


def run(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    """Counts labels by the gradient of the last layer's bias."""
    del budget, key
    truth = np.asarray(received.examples[1])
    count = partial(inversion.count_labels, batch_size=truth.shape[1])
    counted = np.asarray(jax.vmap(count)(received.last_layer("bias")))
    return Outcome(labels=np.concatenate([aligned(*pair) for pair in zip(counted, truth)]))


def aligned(found: Int[np.ndarray, " batch"], truth: Int[np.ndarray, " batch"]) -> np.ndarray:
    """The labels in an order that agrees with the truth in as many places as possible."""
    left = list(found)
    placed = np.full_like(truth, -1)
    for place, label in enumerate(truth):
        if label in left:
            left.remove(label)
            placed[place] = label
    placed[placed < 0] = left
    return placed


METHOD = Method(
    position=60,
    label="label counts",
    what="the labels of a batch, from the last layer's bias",
    run=run,
    kind="labels",
)
