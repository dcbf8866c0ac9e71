"""What a family of defenses gives away at a given accuracy: its front, held against the others."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from gujax.statistics import Interval

Standing = Literal["ahead", "level", "behind", "unknown"]


class Point(NamedTuple):
    """One setting: its accuracy and the share of members that is found, in each seed."""

    accuracy: Float[np.ndarray, " seeds"]
    found: Float[np.ndarray, " seeds"]


class Mixture(NamedTuple):
    """One of two settings, by a coin that falls on the first with this probability."""

    first: int
    second: int
    weight: float


def front(points: Sequence[Point], at: float) -> Float[np.ndarray, " seeds"]:
    """The least that a family gives away while it keeps an accuracy, seed by seed.

    A trainer who tosses a coin between two settings has the mean of their accuracies and, before an
    attacker who cannot tell which was used, the mean of what is found. Of all such mixtures and
    single settings that keep the accuracy, the best is chosen on the *other* seeds and measured on
    its own, so that the luck of a draw is not taken for a front: a family with more settings has no
    advantage by their number. A single seed has no others, and chooses for itself.

    Args:
        points: Settings of the family.
        at: Accuracy to keep.

    Returns:
        Share found, [seeds]; NaN where no setting keeps the accuracy.
    """
    accuracy, found = (np.array(values) for values in zip(*points))
    num_seeds = accuracy.shape[1]
    result = np.full(num_seeds, np.nan)
    for seed in range(num_seeds):
        others = [s for s in range(num_seeds) if s != seed] or [seed]
        chosen = _best(accuracy[:, others].mean(axis=1), found[:, others].mean(axis=1), at)
        if chosen is not None:
            first, second, weight = chosen
            result[seed] = weight * found[first, seed] + (1 - weight) * found[second, seed]
    return result


def _best(
    accuracy: Float[np.ndarray, " points"], found: Float[np.ndarray, " points"], at: float
) -> Mixture | None:
    candidates = [(found[i], Mixture(i, i, 1.0)) for i in range(len(found)) if accuracy[i] >= at]
    for i in np.flatnonzero(accuracy > at):
        for j in np.flatnonzero(accuracy < at):
            weight = (at - accuracy[j]) / (accuracy[i] - accuracy[j])
            mixed = weight * found[i] + (1 - weight) * found[j]
            candidates.append((mixed, Mixture(int(i), int(j), float(weight))))
    return min(candidates)[1] if candidates else None


class Contest(NamedTuple):
    """Two families, at an accuracy and at a level of privacy that both of them reach in every seed.

    Attributes:
        accuracy: The highest accuracy that both keep.
        found: What each gives away there.
        level: The least that both can give away.
        kept: The accuracy that each keeps there.
    """

    accuracy: float
    found: tuple[Float[np.ndarray, " seeds"], Float[np.ndarray, " seeds"]]
    level: float
    kept: tuple[Float[np.ndarray, " seeds"], Float[np.ndarray, " seeds"]]


def contest(own: Sequence[Point], rival: Sequence[Point]) -> Contest:
    """Holds a family against another one where nobody chooses the place."""
    families = own, rival
    accuracy = min(_reached(points) for points in families)
    # Finding little and keeping much are the same question with both axes turned round.
    turned = [[Point(-one.found, -one.accuracy) for one in points] for points in families]
    level = -min(_reached(points) for points in turned)
    return Contest(
        accuracy,
        (front(own, accuracy), front(rival, accuracy)),
        level,
        (-front(turned[0], -level), -front(turned[1], -level)),
    )


def _reached(points: Sequence[Point]) -> float:
    """The highest accuracy for which `front` finds a setting in every seed."""
    values = np.array([point.accuracy for point in points])
    num_seeds = values.shape[1]
    others = (
        (values.sum(axis=1, keepdims=True) - values) / (num_seeds - 1) if num_seeds > 1 else values
    )
    # A little less: sums in another order differ in their last digits.
    return float(others.max(axis=0).min()) - 1e-12


class Placed(NamedTuple):
    """How a family stands against all others at an accuracy.

    Attributes:
        found: What it gives away.
        difference: That less what the best of the other families gives away, paired by seed.
    """

    found: Float[np.ndarray, " seeds"]
    difference: Float[np.ndarray, " seeds"]


def placed(families: Mapping[str, Sequence[Point]], at: float) -> dict[str, Placed]:
    """Every family at an accuracy, against the front of all other families together."""
    result = {}
    for name, points in families.items():
        others = [point for other, theirs in families.items() if other != name for point in theirs]
        own = front(points, at)
        rest = front(others, at) if others else np.full_like(own, np.nan)
        result[name] = Placed(own, own - rest)
    return result


def standing(difference: Interval) -> Standing:
    """Ahead where less is found for certain, behind where more is, level where 0 is included."""
    if np.isnan(difference.low):
        return "unknown"
    if difference.high < 0:
        return "ahead"
    return "behind" if difference.low > 0 else "level"
