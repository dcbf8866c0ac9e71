"""Does a curve over bins rise, or does it fall first?"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import optimize


class Shape(NamedTuple):
    """What a curve over bins looks like, one number per seed, [S].

    Attributes:
        rise: last bin minus first bin.
        left_arm: first bin minus the lowest bin in between.
        right_arm: last bin minus the lowest bin in between.
        isotonic: share of the variance between bins that the best non-decreasing curve explains: 1
            where the curve never falls; NaN where all bins are equal.
    """

    rise: Float[np.ndarray, " seeds"]
    left_arm: Float[np.ndarray, " seeds"]
    right_arm: Float[np.ndarray, " seeds"]
    isotonic: Float[np.ndarray, " seeds"]


def shape(curves: Float[np.ndarray, "seeds bins"]) -> Shape:
    """Ends of the curve against its bottom, and against a non-decreasing curve.

    A U-curve has two arms. The lowest of many noisy bins lies below its own expectation, so that
    the bottom of a seed's curve is looked for in the mean of the *other* seeds' curves: where there
    is no U, the left arm is then not positive on average. With a single seed the arms are NaN.
    There must be at least 3 bins.
    """
    num_seeds = len(curves)
    bottom = np.full(num_seeds, np.nan)
    if num_seeds > 1:
        for seed in range(num_seeds):
            others = np.delete(curves, seed, axis=0).mean(axis=0)
            bottom[seed] = curves[seed, 1 + np.argmin(others[1:-1])]
    return Shape(
        rise=curves[:, -1] - curves[:, 0],
        left_arm=curves[:, 0] - bottom,
        right_arm=curves[:, -1] - bottom,
        isotonic=np.array([_isotonic_share(curve) for curve in curves]),
    )


def _isotonic_share(curve: Float[np.ndarray, " bins"]) -> float:
    total = np.sum((curve - curve.mean()) ** 2)
    left = np.sum((curve - optimize.isotonic_regression(curve).x) ** 2)
    return float(1 - left / total) if total > 0 else float("nan")
