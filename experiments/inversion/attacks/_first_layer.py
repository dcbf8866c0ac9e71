"""What exact attacks on a first fully connected layer have in common."""

from collections.abc import Callable, Mapping

import jax
import numpy as np
from jaxtyping import Float

from experiments.inversion.search import Outcome, SearchBudget, leaf_paths, orders
from experiments.inversion.sharing import Received, SharedUpdate
from gujax.attacks import inversion
from gujax.trees import named_leaves

KERNEL, BIAS = "layers/0/kernel", "layers/0/bias"

Recover = Callable[
    [Mapping[str, np.ndarray], Mapping[str, np.ndarray]], Float[np.ndarray, "found inputs"]
]
"""Maps an update and the parameters, by leaf, to inputs; the best first."""


def applies(shared: SharedUpdate) -> bool:
    """Whether a fully connected layer with bias sees the input itself."""
    return {KERNEL, BIAS} <= set(leaf_paths(shared))


def applies_to_batches(shared: SharedUpdate) -> bool:
    """Whether the update is also about several examples: one alone is read by `analytic`."""
    return shared.num_examples > 1 and applies(shared)


def of_every_update(received: Received, budget: SearchBudget, recover: Recover) -> Outcome:
    """What an exact attack recovers; the mean input stands for what it does not find.

    Where its conditions do not hold, its reason is kept.
    """
    x, _ = received.examples
    params = {path: np.asarray(leaf) for path, leaf in named_leaves(received.params)}
    updates = {path: np.asarray(leaf) for path, leaf in named_leaves(received.updates)}
    inputs = np.zeros(x.shape, np.float32)  # standardized: 0 is the mean
    reasons: list[str | None] = []
    for place in range(len(x)):
        update = {path: leaf[place] for path, leaf in updates.items()}
        reason = None
        try:
            found = recover(update, params)[: x.shape[1]]
            inputs[place, : len(found)] = found.reshape(len(found), *x.shape[2:])
        except inversion.NotInvertible as error:
            reason = str(error)
        reasons += [reason] * x.shape[1]
    order = orders(jax.numpy.asarray(inputs), x, budget.space)
    ordered = np.stack([one[o] for one, o in zip(inputs, order)])
    return Outcome(ordered.reshape(-1, *x.shape[2:]), refusals=reasons)
