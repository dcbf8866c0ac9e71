"""The attack on one of many trained models, predicted from it and others as its reruns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, PyTree

import gujax
from gujax.statistics import Interval

Model = tuple[PyTree, Bool[np.ndarray, " pool"]]

_UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Prediction:
    """What `gujax.assess` says of a model whose members are a part of a pool.

    Attributes:
        assessment: Of members, then the others; None if the data allow none.
        refusal: Why no number should be relied on; empty if they can. Numbers are NaN then.
        order: Positions in the pool of the assessed examples: members, then the others without
            those that a member equals.
        size: Of the pool.
    """

    assessment: gujax.Assessment | None
    refusal: str
    order: np.ndarray
    size: int

    @property
    def auc(self) -> Interval:
        """Pooled AUC with its 95 % interval."""
        found = self._trusted
        return _UNKNOWN if found is None else found.auc

    def tpr(self, fpr: float) -> Interval:
        """Pooled TPR with its 95 % interval."""
        found = self._trusted
        return _UNKNOWN if found is None else found.tpr(fpr)

    @property
    def shift(self) -> Float[np.ndarray, " pool"]:
        """Predicted shift of every example of the pool, in nats, [N]; NaN if not assessed."""
        shift = np.full(self.size, np.nan)
        if (found := self._trusted) is not None:
            shift[self.order] = found.shift
        return shift

    @property
    def _trusted(self) -> gujax.Assessment | None:
        return None if self.refusal else self.assessment


def predict(
    apply: Callable[[PyTree, Any], Any],
    pool: tuple[np.ndarray, np.ndarray],
    published: Model,
    reruns: Sequence[Model],
    *,
    label_smoothing: float = 0.0,
    num_resamples: int = 200,
    seed: int = 0,
) -> Prediction:
    """Predicts the attack on one model.

    Args:
        apply: ``apply(params, x)`` gives logits; the same function for all models of a setting, so
            that it is compiled once.
        pool: Inputs and classes of all examples, of which some are members of each model.
        published: Parameters of the model, and which of the pool are its members, [N].
        reruns: The same of other models, with other halves and seeds.
        label_smoothing: That all of them were trained with.
        num_resamples: Of the intervals.
        seed: Of the resampling.
    """
    params, inside = published
    outside = unseen(pool[0], inside)
    order = np.concatenate([np.flatnonzero(inside), np.flatnonzero(outside)])
    try:
        found = gujax.assess(
            apply,
            params,
            (pool[0][inside], pool[1][inside]),
            (pool[0][outside], pool[1][outside]),
            rerun=[(again, mask[order]) for again, mask in reruns] or None,
            label_smoothing=label_smoothing,
            num_resamples=num_resamples,
            seed=seed,
        )
    except ValueError as error:  # data that no prediction can be made from
        return Prediction(None, str(error), order, len(inside))
    return Prediction(found, " ".join(found.unsafe), order, len(inside))


def unseen(x: np.ndarray, members: Bool[np.ndarray, " pool"]) -> Bool[np.ndarray, " pool"]:
    """Those that are no members and equal none, [N]."""
    return ~members & equal_none(x, x[members])


def equal_none(x: np.ndarray, members: np.ndarray) -> Bool[np.ndarray, " examples"]:
    """Which inputs equal no member's, [N]: a copy of a member was trained on."""
    known = {row.tobytes() for row in members}
    return np.array([row.tobytes() not in known for row in x])
