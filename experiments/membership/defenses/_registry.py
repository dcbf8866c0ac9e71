"""The defenses by name, and what a name such as "gate:0.9" stands for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from experiments.framework.errors import UserError
from experiments.framework.registry import found_in
from experiments.membership.defenses._method import Method
from experiments.tasks.recipe import Recipe, RecipeBook


@cache
def methods() -> Mapping[str, Method]:
    """Every family: the files of this package, each of which gives a `METHOD`."""
    return found_in("experiments.membership.defenses", "METHOD")


@dataclass(frozen=True)
class Defense:
    """A way to train: one row of a comparison.

    Attributes:
        family: Which method it is; a name of `methods`.
        strength: The method's own setting; None for a family without one.
        delta: δ of its guarantee; None for that of the family, if it has one.
        epochs: Passes over the data; None for those of its recipe.
    """

    label: str
    family: str
    strength: float | None = None
    delta: float | None = None
    epochs: int | None = None

    @property
    def method(self) -> Method:
        """What the family's file says."""
        return methods()[self.family]

    @property
    def color(self) -> str:
        """Its colour in figures."""
        return self.method.color

    @property
    def front(self) -> str:
        """Name of the front that it is a point of."""
        return self.method.front or self.family

    @property
    def passes(self) -> int | None:
        """Passes over the data that it was given a number of; None for those of its recipe."""
        if (passes := self.method.passes) is None:
            return self.epochs
        assert self.strength is not None
        return passes(self.strength)

    def recipe_in(self, book: RecipeBook) -> Recipe:
        """What was found for it, or for the family that it trains like.

        Raises:
            UserError: The book holds no such recipe.
        """
        return book.find(self.family, self.strength, self.passes, self.method.like)

    def fitted(self, recipe: Recipe) -> Recipe:
        """The recipe found for its family, as it uses it."""
        if self.passes is not None:  # a cosine falls to 0 within them
            recipe = replace(recipe, epochs=self.passes)
        if (adapts := self.method.adapts) is None:
            return recipe
        assert self.strength is not None
        return adapts(self.strength, recipe)

    @property
    def removes(self) -> bool:
        """Whether examples are taken away before training, by the ledgers of a plain run."""
        return self.method.removes is not None

    @property
    def epsilon(self) -> float | None:
        """ε of a defense whose strength it is; else None."""
        strength = self.method.strength
        return self.strength if strength is not None and strength.is_epsilon else None


def parse_defenses(names: Sequence[str], delta: float | None = None) -> list[Defense]:
    """Defenses by name, each once.

    Args:
        names: Such as ``"gate:0.9"``, or ``"gate"`` for the family's default strengths; with
            ``"@5"`` behind, for so many epochs.
        delta: δ of those that come with a guarantee; None for their default.

    Raises:
        UserError: A name is unknown, or a strength is out of range.
    """
    return list(dict.fromkeys(found for name in names for found in _parse(name, delta)))


def parse_defense(name: str, delta: float | None = None) -> Defense:
    """One defense by name; a family alone stands for the last of its default strengths.

    Raises:
        UserError: The name is unknown, or the strength is out of range.
    """
    return _parse(name, delta)[-1]


def _parse(name: str, delta: float | None) -> list[Defense]:
    before, at, epochs = name.partition("@")
    if at:
        found = _parse(before, delta)
        if not epochs.isdecimal() or int(epochs) < 1 or found[0].method.passes:
            raise UserError(
                f"the defense '{name}' must have a whole number of epochs from 1 on behind the @, "
                "and none where they are the strength, as of early_stop"
            )
        return [
            replace(one, label=_at(one.label, int(epochs)), epochs=int(epochs)) for one in found
        ]
    family, _, given = name.partition(":")
    if family not in methods():
        raise UserError(f"unknown defense '{family}'; choose from {', '.join(methods())}")
    method = methods()[family]
    if method.strength is None:
        if given:
            raise UserError(f"the defense '{name}' takes no strength; write '{family}'")
        return [Defense(method.label(None), family)]
    try:
        strengths = (float(given),) if given else method.strength.defaults
        if not all(map(math.isfinite, strengths)):
            raise ValueError
    except ValueError:
        raise UserError(
            f"the strength of the defense '{name}' is not a finite number; it is the "
            f"{method.strength.meaning}"
        ) from None
    if not all(map(method.strength.allowed, strengths)):
        raise UserError(
            f"the strength of the defense '{name}' must be {method.strength.must}; it is the "
            f"{method.strength.meaning}"
        )
    own = None if method.account is None else delta
    return [Defense(method.label(s), family, s, own) for s in strengths]


def _at(label: str, epochs: int) -> str:
    return f"{label}, {epochs} epoch{'' if epochs == 1 else 's'}"
