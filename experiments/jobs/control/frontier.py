"""What a method gives away at a given accuracy, between the settings that were run."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from experiments.membership.fronts import Point


def interpolate(
    accuracy: Float[np.ndarray, " points"], success: Float[np.ndarray, " points"], at: float
) -> float:
    """Attack success at an accuracy, on straight lines between the settings in order of accuracy.

    A trainer reaches every point of such a line by tossing a coin between the two settings at its
    ends: accuracy and attack success of the mixture are the means, for an attacker who cannot tell
    which setting was used. NaN where no setting is that bad or none that good.
    """
    order = np.argsort(accuracy, kind="stable")
    return float(np.interp(at, accuracy[order], success[order], left=np.nan, right=np.nan))


def at_equal_accuracy(
    plain: Point, settings: Sequence[Point], drops: Sequence[float]
) -> list[Float[np.ndarray, " seeds"] | None]:
    """What a method gives away where it costs given accuracies, seed by seed.

    Plain SGD is every method not used, so that each frontier goes through it. None for a drop that
    the settings do not reach in every seed.
    """
    accuracy, success = (np.array(values) for values in zip(plain, *settings))
    found: list[Float[np.ndarray, " seeds"] | None] = []
    for drop in drops:
        values = np.array(
            [interpolate(*of_seed, of_seed[0][0] - drop) for of_seed in zip(accuracy.T, success.T)]
        )
        found.append(None if np.isnan(values).any() else values)
    return found
