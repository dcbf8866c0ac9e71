"""The label of one example (Zhao et al. 2020)."""

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from experiments.inversion.attacks import Method
from experiments.inversion.search import Outcome, SearchBudget
from experiments.inversion.sharing import Received
from gujax.attacks import inversion


def run(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    """Reads the label from the gradient of the last layer's kernel."""
    del budget, key
    kernel = received.last_layer("kernel")
    return Outcome(labels=np.asarray(jax.vmap(inversion.idlg_label)(kernel)))


METHOD = Method(
    position=50,
    label="iDLG labels",
    what="the label of one example, from the last layer's kernel",
    run=run,
    applies=lambda shared: shared.num_examples == 1,
    kind="labels",
)
