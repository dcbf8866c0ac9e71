"""Inverting Gradients on the leaves before a bottleneck, averaging over the noise behind them."""

from dataclasses import replace

from jaxtyping import PRNGKeyArray

from experiments.inversion.attacks import Method
from experiments.inversion.search import Outcome, SearchBudget, search
from experiments.inversion.sharing import Received


def run(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    """Leaves out what is stochastic; errors that come back from there are taken in the mean.

    The adaptive attack guesses one draw. What reaches the first leaves from behind the bottleneck
    depends on it, and the mean over several is nearer to the victim's than one guess.
    """
    shared = received.shared
    assert shared.averaged is not None
    assert shared.adaptive is not None
    return search(
        received,
        replace(
            shared.averaged,
            leaf_weights=shared.adaptive.leaf_weights,
            smoothing=shared.adaptive.smoothing,
        ),
        budget,
        key,
    )


METHOD = Method(
    position=24,
    label="IG adaptive, averaged",
    what="Inverting Gradients without the stochastic leaves, averaging over the noise behind them",
    run=run,
    applies=lambda shared: shared.averaged is not None and shared.adaptive is not None,
    color="#E69F00",
)
