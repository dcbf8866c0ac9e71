"""An ROC curve under weights of the examples."""

import numpy as np
from jaxtyping import Float, Int


class Curve:
    """An ROC curve that can be evaluated again and again under other weights of the examples."""

    def __init__(self, scores: np.ndarray, labels: np.ndarray, column: Int[np.ndarray, " scores"]):
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        # A threshold can only lie between different scores.
        self._last_of_tie = np.append(ordered[1:] != ordered[:-1], True)
        self._labels = labels[order]
        self._column = column[order]

    def measures(self, weights: Float[np.ndarray, " examples"]) -> tuple[float, ...]:
        """AUC, TPR at FPR 1 % and 0.1 %, balanced accuracy."""
        weight = weights[self._column]
        true = self._rates(weight * self._labels)
        false = self._rates(weight * ~self._labels)
        auc = np.trapezoid(true, false)
        # The rates only grow, so the largest one allowed is the last one allowed.
        at_1pct, at_01pct = true[np.searchsorted(false, (0.01, 0.001), side="right") - 1]
        return auc, at_1pct, at_01pct, np.max(1 + true - false) / 2

    def _rates(self, weight: Float[np.ndarray, " scores"]) -> Float[np.ndarray, " thresholds"]:
        total = np.cumsum(weight)
        return np.concatenate([[0.0], total[self._last_of_tie] / total[-1]])
