"""Options of the job `onion`."""

from typing import Literal

from experiments.framework.errors import check_option
from experiments.framework.options import Count, Fraction, Several, options
from experiments.membership.options import MembershipOptions

Scope = Literal["model", "data"]


@options
class Options(MembershipOptions):
    """The privacy onion: remove the most disclosing examples, and look again, round after round.

    Models are trained with plain SGD on random halves and audited (accumulated nats of GNQ); the
    most disclosing examples are removed; the models are trained again on what is left, audited and
    attacked. As many examples removed at random, and nothing removed, are the controls.

    Attributes:
        scopes: From what to remove: "model", each model's owner from its own training set, as GNQ's
            censoring does; "data", from the pool of all examples, as in the paper on the onion.
        rounds: Number of removals.
        fraction: Share of the remaining examples that each round removes.
    """

    scopes: Several[Scope] = ("model", "data")
    rounds: Count = 3
    fraction: Fraction = 0.1

    def __post_init__(self) -> None:
        check_option(
            (1 - self.fraction) ** self.rounds >= 0.2,
            f"--rounds {self.rounds} of --fraction {self.fraction} leave less than a fifth of the "
            "examples; take fewer rounds or a smaller fraction",
        )
