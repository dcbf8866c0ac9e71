"""Which ridge makes the predicted attack as good as the achieved one?"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import optimize

from gujax.uniqueness import predicted_auc

_TINY = 1e-30


class Curve(NamedTuple):
    """Predicted μ² of every example, [R, N], under every ridge of an ascending grid, [R]."""

    ridges: Float[np.ndarray, " ridges"]
    mu_squared: Float[np.ndarray, "ridges examples"]

    def only(self, chosen: np.ndarray) -> "Curve":
        """The curve of some examples."""
        return Curve(self.ridges, self.mu_squared[:, chosen])

    def auc(self, ridge: float) -> Float[np.ndarray, " examples"]:
        """Predicted AUC of each example under a ridge, at or above the least of the grid.

        Interpolates log μ² over log ridge. Above the grid μ² falls as 1 / ridge, which is exact
        where the ridge outweighs the other gradients.
        """
        logs = np.log(self.mu_squared + _TINY)
        x, grid = np.log(ridge), np.log(self.ridges)
        if x >= grid[-1]:
            found = logs[-1] - (x - grid[-1])
        else:
            above = np.clip(np.searchsorted(grid, x, side="right"), 1, len(grid) - 1)
            share = (x - grid[above - 1]) / (grid[above] - grid[above - 1])
            found = (1 - share) * logs[above - 1] + share * logs[above]
        return np.asarray(predicted_auc(np.exp(found / 2)))


def fit_ridge(curve: Curve, achieved: Float[np.ndarray, " examples"]) -> float:
    """The relative ridge with which the mean predicted AUC is the mean achieved one.

    NaN where the attack does not beat guessing, or beats the prediction for the least ridge of the
    grid.
    """

    def excess(log_ridge: float) -> float:
        return float(np.mean(curve.auc(np.exp(log_ridge))) - np.mean(achieved))

    low, high = np.log(curve.ridges[0]), np.log(curve.ridges[-1]) + 20
    if not excess(high) < 0 < excess(low):
        return float("nan")
    return float(np.exp(optimize.brentq(excess, low, high)))
