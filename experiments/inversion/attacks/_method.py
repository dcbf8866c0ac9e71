"""What the file of an inversion attack says about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxtyping import PRNGKeyArray

from experiments.inversion.search import Outcome, SearchBudget
from experiments.inversion.sharing import Received, SharedUpdate


@dataclass(frozen=True)
class Method:
    """An attack; its file's name is its name.

    Attributes:
        position: Where it stands among the attacks.
        label: Its name in tables and figures.
        what: What it does, in a sentence.
        run: ``run(received, budget, key)``.
        applies: Whether it can be made on a defense.
        kind: How it finds the inputs, or that it finds labels alone.
        color: In figures. Attacks with a color are compared by their success: the strongest of them
            is what a defense is judged by.
    """

    position: int
    label: str
    what: str
    run: Callable[[Received, SearchBudget, PRNGKeyArray], Outcome]
    applies: Callable[[SharedUpdate], bool] = lambda shared: True
    kind: Literal["search", "closed form", "labels"] = "search"
    color: str | None = None
