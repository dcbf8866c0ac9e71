"""Inverting Gradients past a bottleneck's noise: the encoder's own gradient says what it did."""

from jaxtyping import PRNGKeyArray

from experiments.inversion.attacks import Method
from experiments.inversion.search import Outcome, SearchBudget, search
from experiments.inversion.sharing import Received
from gujax.trees import named_leaves


def run(received: Received, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    """Matches the encoder and what is before it, given the error that reached the encoder.

    Of one example, that error is the gradient of the encoder's bias (`defenses.encoder_loss`).
    """
    shared = received.shared
    error = dict(named_leaves(received.updates))[f"{shared.encoder}/bias"]
    return search(received, shared.bypass, budget, key, known=error[:, None])


METHOD = Method(
    position=25,
    label="IG past the noise",
    what="Inverting Gradients up to a bottleneck's encoder, whose bias tells the error behind it",
    run=run,
    applies=lambda shared: shared.bypass is not None,
    color="#8C510A",
)
