"""What a method gives away at a given accuracy, between the settings that were run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.framework.seeds import over_seeds

Point = Mapping[str, Any]  # accuracy and success of one setting, each as `over_seeds` gives it


def interpolate(
    accuracy: Float[np.ndarray, " points"], success: Float[np.ndarray, " points"], at: float
) -> float:
    """Attack success at an accuracy, on straight lines between the points in order of accuracy.

    A trainer reaches every point of such a line by tossing a coin between the two settings at its
    ends: accuracy and attack success of the mixture are the means, for an attacker who cannot tell
    which setting was used.

    Args:
        accuracy: Accuracy of each setting.
        success: Attack success of each setting.
        at: The accuracy asked for.

    Returns:
        The interpolated success, NaN where no setting is that bad or none that good.
    """
    order = np.argsort(accuracy, kind="stable")
    return float(np.interp(at, accuracy[order], success[order], left=np.nan, right=np.nan))


def at_equal_accuracy(
    plain: Point, settings: Sequence[Point], drops: Sequence[float]
) -> list[dict[str, Any] | None]:
    """What a method gives away where it costs a given accuracy, seed by seed.

    Args:
        plain: Plain SGD: every method not used, so that each frontier goes through it.
        settings: The settings of one method.
        drops: Accuracy given up against the same seed's plain SGD.

    Returns:
        For each drop the interpolated success over seeds; None where the settings do not reach it
        in every seed.
    """
    points = [plain, *settings]
    accuracy = np.array([point["accuracy"]["per_seed"] for point in points])
    success = np.array([point["success"]["per_seed"] for point in points])
    found: list[dict[str, Any] | None] = []
    for drop in drops:
        values = [
            interpolate(accuracy[:, seed], success[:, seed], accuracy[0, seed] - drop)
            for seed in range(accuracy.shape[1])
        ]
        found.append(None if np.isnan(values).any() else over_seeds(values))
    return found
