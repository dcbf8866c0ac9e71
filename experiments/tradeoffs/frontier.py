"""What a method gives away at a given accuracy, between the strengths that were run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.studies.seeds import over_seeds
from experiments.tradeoffs.measured import find


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
    defenses: Mapping[str, Any], drops: Sequence[float], rate: str
) -> dict[str, list[dict[str, Any] | None]]:
    """What every family gives away at the same loss of accuracy, seed by seed.

    Each family's frontier goes through plain SGD, which is every defense not used.

    Args:
        defenses: Summaries of `measured.describe`, plain SGD among them.
        drops: Accuracy given up against the same seed's plain SGD.
        rate: True-positive rate to interpolate, one of `measured.RATES`.

    Returns:
        For each family but plain SGD and each drop, the interpolated rate over seeds; None where
        the family does not reach the drop in every seed.
    """
    (plain,) = find(defenses, "sgd").values()
    families = dict.fromkeys(entry["family"] for entry in defenses.values())
    result: dict[str, list[dict[str, Any] | None]] = {}
    for family in families:
        if family == "sgd":
            continue
        points = [plain, *find(defenses, family).values()]
        accuracy = np.array([point["test_accuracy"]["per_seed"] for point in points])
        success = np.array([point["attacks"]["best"][rate]["per_seed"] for point in points])
        result[family] = []
        for drop in drops:
            values = [
                interpolate(accuracy[:, seed], success[:, seed], accuracy[0, seed] - drop)
                for seed in range(accuracy.shape[1])
            ]
            result[family].append(None if np.isnan(values).any() else over_seeds(values))
    return result
