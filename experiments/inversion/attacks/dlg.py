"""Deep Leakage from Gradients (Zhu et al. 2019)."""

from functools import cache

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from experiments.inversion.attacks import Method
from experiments.inversion.search import Outcome, SearchBudget, flat, orders
from experiments.inversion.sharing import Received
from gujax.attacks import inversion


def run(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    """Searches for inputs and labels at once."""
    x, y = received.examples
    found = inversion.invert_many(
        _attack(budget),
        received.shared.naive.model_of_update(),
        received.params,
        received.updates,
        jax.random.split(key, len(y)),
        inputs_like=x[0],
        num_classes=received.shared.num_classes,
    )
    order = orders(found.inputs, x, budget.space)
    labels = np.take_along_axis(np.asarray(found.labels).argmax(-1), order, axis=1)
    return flat(found, order)._replace(labels=labels.ravel())


@cache  # the same object for the same budget, so that it is compiled once
def _attack(budget: SearchBudget) -> inversion.GradientMatching:
    return inversion.dlg(
        budget.dlg_iterations,
        leaf_weights=inversion.only(*budget.match) if budget.match else inversion.every_leaf,
        num_restarts=budget.restarts,
    )


METHOD = Method(
    position=30,
    label="DLG",
    what="squared distance and L-BFGS; searches for the labels too",
    run=run,
)
