"""A bound, not an attack: the search of an adversary who is told a bottleneck's draws."""

import jax
from jaxtyping import PRNGKeyArray

from experiments.inversion.attacks import Method
from experiments.inversion.search import Outcome, SearchBudget, search
from experiments.inversion.sharing import Received


def run(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    """Matches every leaf of the update with the victim's own noise."""
    y = received.examples[1]
    of_examples = jax.vmap(lambda key: jax.random.split(key, y.shape[1]))(received.keys)
    known = y, jax.random.key_data(of_examples)
    return search(received, received.shared.told, budget, key, known)


METHOD = Method(
    position=26,
    label="IG told the noise",
    what="a bound, no attack: Inverting Gradients on all leaves, told the bottleneck's draws",
    run=run,
    applies=lambda shared: shared.told is not None,
)
