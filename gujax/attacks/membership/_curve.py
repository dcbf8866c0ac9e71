"""An ROC curve under weights of the examples."""

import numpy as np
from jaxtyping import Float, Int


class Curve:
    """An ROC curve that can be evaluated again and again under other weights of the examples."""

    def __init__(self, scores: np.ndarray, labels: np.ndarray, column: Int[np.ndarray, "scores"]):
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        # A threshold can only lie between different scores.
        self._last_of_tie = np.append(ordered[1:] != ordered[:-1], True)
        self._labels = labels[order]
        self._column = column[order]

    def measures(self, weights: Float[np.ndarray, "examples"]) -> tuple[float, ...]:
        """AUC, TPR at FPR 1 % and 0.1 %, balanced accuracy."""
        true, false = self._both(weights)
        auc = np.trapezoid(true, false)
        at_1pct, at_01pct = _reached(true, false, (0.01, 0.001))
        return auc, at_1pct, at_01pct, np.max(1 + true - false) / 2

    def true_positive_rate(self, weights: Float[np.ndarray, "examples"], at: float) -> float:
        """The largest one of a threshold with at most this false-positive rate."""
        return _reached(*self._both(weights), at)

    def _both(self, weights: Float[np.ndarray, "examples"]) -> tuple[np.ndarray, np.ndarray]:
        """True- and false-positive rates of all thresholds, ascending."""
        weight = weights[self._column]
        return self._rates(weight * self._labels), self._rates(weight * ~self._labels)

    def _rates(self, weight: Float[np.ndarray, "scores"]) -> Float[np.ndarray, "thresholds"]:
        total = np.cumsum(weight)
        return np.concatenate([[0.0], total[self._last_of_tie] / total[-1]])


def _reached(true: np.ndarray, false: np.ndarray, at):
    # The rates only grow, so the largest one allowed is the last one allowed.
    return true[np.searchsorted(false, at, side="right") - 1]
