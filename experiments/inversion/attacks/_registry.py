"""The attacks by name."""

from collections.abc import Mapping, Sequence
from functools import cache

from jaxtyping import PRNGKeyArray

from experiments.framework.errors import UserError
from experiments.framework.registry import found_in
from experiments.inversion.attacks._method import Method
from experiments.inversion.search import Outcome, SearchBudget
from experiments.inversion.sharing import Received, SharedUpdate


@cache
def methods() -> Mapping[str, Method]:
    """Every attack by name: the files of this package."""
    found = found_in(__package__, "METHOD")
    return dict(sorted(found.items(), key=lambda attack: attack[1].position))


def label(name: str) -> str:
    """What an attack is called in tables and figures."""
    return methods()[name].label


def compared() -> tuple[str, ...]:
    """The attacks whose success is compared."""
    return tuple(name for name, method in methods().items() if method.color)


def searches() -> tuple[str, ...]:
    """Those of them that search."""
    return tuple(name for name in compared() if methods()[name].kind == "search")


def attack(received: Received, name: str, budget: SearchBudget, key: PRNGKeyArray) -> Outcome:
    """Makes one attack.

    Args:
        received: What was shared.
        name: A name of `methods` whose attack applies to the defense.
        budget: How searches are made.
        key: PRNG key of their starts.
    """
    return methods()[name].run(received, budget, key)


def applicable(shared: SharedUpdate, names: Sequence[str]) -> list[str]:
    """Of these attacks, those that can be made on the defense.

    The adaptive one is never left out where inputs are attacked.

    Args:
        shared: What the defense shares.
        names: Names of `methods`.
    """
    labels_alone = all(methods()[name].kind == "labels" for name in names)
    wanted = names if labels_alone else [*names, "adaptive"]
    return [name for name, m in methods().items() if name in wanted and m.applies(shared)]


def check_attacks(names: Sequence[str]) -> None:
    """Checks that all attacks are known.

    Raises:
        UserError: One is not.
    """
    for name in names:
        if name not in methods():
            raise UserError(f"unknown attack '{name}'; choose from {', '.join(methods())}")
