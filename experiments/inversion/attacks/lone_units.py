"""Inputs of a batch that units of a first fully connected layer are activated by alone."""

from collections.abc import Mapping

import jax.numpy as jnp
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


def run(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    """Reads what there is from every update; needs neither labels nor parameters."""
    del key
    return of_every_update(received, budget, _recover)


def _recover(
    update: Mapping[str, np.ndarray], params: Mapping[str, np.ndarray]
) -> Float[np.ndarray, "found inputs"]:
    del params
    found = inversion.lone_inputs(jnp.asarray(update[KERNEL]), jnp.asarray(update[BIAS]))
    return np.asarray(found.inputs)


METHOD = Method(
    position=42,
    label="lone units",
    what="the inputs of a batch on which two units of a first fully connected layer agree",
    run=run,
    applies=applies_to_batches,
    kind="closed form",
    color="#CC79A7",
)
