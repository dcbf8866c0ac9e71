"""Inversion attacks by name, and what each is made on.

    for name in applicable(shared, ["ig", "analytic"]):
        outcome = methods()[name].run(received, budget, key)

A new one is one file beside this: its name is the attack's, its `METHOD` says what the attack is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from jaxtyping import PRNGKeyArray

from experiments.framework.errors import UserError
from experiments.framework.registry import found_in
from experiments.inversion.search import Outcome, SearchBudget
from experiments.inversion.sharing import Received, SharedUpdate


@dataclass(frozen=True)
class Method:
    """An attack; its file's name is its name.

    Attributes:
        position: Where it stands among the attacks.
        label: Its name in tables and figures.
        what: What it does, in a sentence.
        run: ``run(received, budget, key)``; the key is that of its starts.
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


@cache
def methods() -> Mapping[str, Method]:
    """Every attack by name: the files of this package."""
    found = found_in(__name__, "METHOD")
    return dict(sorted(found.items(), key=lambda attack: attack[1].position))


def label(name: str) -> str:
    """What an attack is called in tables and figures."""
    return methods()[name].label


def compared() -> tuple[str, ...]:
    """The attacks whose success is compared."""
    return tuple(name for name, method in methods().items() if method.color)


def applicable(shared: SharedUpdate, names: Sequence[str]) -> list[str]:
    """Of these attacks, those that can be made on the defense.

    The adaptive one is never left out where inputs are attacked.
    """
    labels_alone = all(methods()[name].kind == "labels" for name in names)
    wanted = names if labels_alone else [*names, "adaptive"]
    return [name for name, m in methods().items() if name in wanted and m.applies(shared)]


def check_attacks(names: Sequence[str]) -> None:
    """Raises `UserError` for a name that no attack has."""
    for name in names:
        if name not in methods():
            raise UserError(f"unknown attack '{name}'; choose from {', '.join(methods())}")
