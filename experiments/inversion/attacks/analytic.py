"""The input of a first fully connected layer, read from its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from experiments.inversion.attacks import Method
from experiments.inversion.attacks._first_layer import BIAS, KERNEL, applies
from experiments.inversion.search import Outcome, SearchBudget
from experiments.inversion.sharing import Received
from gujax.attacks import inversion
from gujax.trees import named_leaves


def run(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    """One input per update; for each of its examples it is all that there is."""
    del budget, key
    leaves = dict(named_leaves(received.updates))
    found = jax.vmap(inversion.first_layer_input)(leaves[KERNEL], leaves[BIAS])
    x, y = received.examples
    inputs = jnp.broadcast_to(found.reshape(len(y), 1, *x.shape[2:]), x.shape)
    return Outcome(np.asarray(inputs).reshape(-1, *x.shape[2:]))


METHOD = Method(
    position=40,
    label="analytic",
    what="the input of a first fully connected layer, in closed form",
    run=run,
    applies=applies,
    kind="closed form",
    color="#009E73",
)
