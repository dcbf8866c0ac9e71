"""A batch from the low rank and the sparsity of a first layer's gradient (Dimitrov et al. 2024)."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from experiments.inversion.attacks import Method
from experiments.inversion.attacks._first_layer import (
    BIAS,
    KERNEL,
    applies_to_batches,
    of_every_update,
)
from experiments.inversion.search import Outcome, SearchBudget
from experiments.inversion.sharing import Received
from gujax.attacks import inversion

_SAMPLES = 50_000  # enough for a batch of 12


def run(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    """Recovers every update's batch; needs no labels and is not told the batch's size."""

    def recover(
        update: Mapping[str, np.ndarray], params: Mapping[str, np.ndarray]
    ) -> Float[np.ndarray, "found inputs"]:
        found = inversion.spear(
            update[KERNEL], update[BIAS], params[KERNEL], params[BIAS], key, max_samples=_SAMPLES
        )
        return found.inputs[np.argsort(-found.agreement)]

    return of_every_update(received, budget, recover)


METHOD = Method(
    position=44,
    label="SPEAR",
    what="a batch from the low rank and the sparsity of a first fully connected layer's gradient",
    run=run,
    applies=applies_to_batches,
    kind="closed form",
    color="#56B4E9",
)
