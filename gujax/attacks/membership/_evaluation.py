"""How good an attack is."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import roc_curve

from gujax.attacks.membership._checks import as_mask
from gujax.attacks.membership._curve import Curve
from gujax.statistics import Interval, bootstrap


class AttackResult(NamedTuple):
    """Measures of a membership attack, pooled over targets and examples.

    Attributes:
        auc: area under the ROC curve; ties count one half.
        tpr_at_fpr_1pct: largest true-positive rate of a threshold with false-positive rate ≤ 1 %.
        tpr_at_fpr_01pct: the same at 0.1 %.
        balanced_accuracy: mean of true-positive and true-negative rate at the best threshold. The
            threshold is chosen on the scores that it is evaluated on, as is usual, so this is
            slightly optimistic; it is at least 1/2.
        threshold: that threshold; a score at or above it is guessed "member".
        success: for each example, the share of targets about which the guess at ``threshold`` is
            right, [N]; NaN for examples that are not included.
        fpr: false-positive rates of the ROC curve, ascending.
        tpr: true-positive rates of the ROC curve.
    """

    auc: Interval
    tpr_at_fpr_1pct: Interval
    tpr_at_fpr_01pct: Interval
    balanced_accuracy: Interval
    threshold: float
    success: Float[np.ndarray, " examples"]
    fpr: Float[np.ndarray, " points"]
    tpr: Float[np.ndarray, " points"]


def evaluate_attack(
    scores: Float[np.ndarray, "models examples"],
    members: Bool[np.ndarray, "models examples"],
    *,
    include: Bool[np.ndarray, "*models examples"] | None = None,
    num_resamples: int = 200,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> AttackResult:
    """Measure a membership attack over all targets and examples.

    Intervals are percentile bootstrap intervals that resample *examples*, each with its scores
    under all targets: they say how far another draw of examples would move the number, with
    these trained models. (Targets share examples and training data, so resampling single scores
    would make intervals too narrow.)

    Args:
        scores: [M, N], higher meaning "member".
        members: truth, [M, N]. How an example counts that a defense removed from training is the
            caller's decision: mark it as a member or leave it out with ``include``.
        include: which examples to count, [N], or per target, [M, N]; all if None.
        num_resamples: number of bootstrap resamples; 0 for none (intervals are then NaN).
        confidence_level: coverage of the intervals.
        seed: seed of the bootstrap.

    Returns:
        The measures.

    Raises:
        ValueError: if shapes do not match, an included score is NaN, or members or non-members are
            missing among the included, or a mask is neither true nor false.
    """
    scores, members = np.asarray(scores, np.float64), as_mask("members", members)
    if scores.ndim != 2 or scores.shape != members.shape:
        raise ValueError(
            f"scores has shape {scores.shape} and members {members.shape}; both must be "
            "(models, examples)"
        )
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level={confidence_level} must lie between 0 and 1")
    if num_resamples < 0:
        raise ValueError(f"num_resamples={num_resamples} must be 0 or more")
    included = np.ones(scores.shape, bool)
    if include is not None:
        included = np.broadcast_to(as_mask("include", include), scores.shape)
    _check_scores(scores, members, included)

    column = np.nonzero(included)[1]
    curve = Curve(scores[included], members[included], column)
    auc, tpr_1, tpr_01, balanced = bootstrap(
        curve.measures,
        scores.shape[1],
        num_resamples=num_resamples,
        confidence=confidence_level,
        seed=seed,
    )

    fpr, tpr, thresholds = roc_curve(members[included], scores[included])
    threshold = float(thresholds[np.argmax(tpr - fpr)])
    right = np.where(included, (scores >= threshold) == members, False).sum(axis=0)
    with np.errstate(invalid="ignore"):
        success = right / included.sum(axis=0)
    return AttackResult(auc, tpr_1, tpr_01, balanced, threshold, success, fpr, tpr)


def true_positive_rates(
    scores: Float[np.ndarray, "models examples"],
    members: Bool[np.ndarray, "models examples"],
    weights: Float[np.ndarray, "weightings examples"],
    *,
    false_positive_rate: float = 0.01,
) -> Float[np.ndarray, " weightings"]:
    """What an attack finds of differently weighted examples, as resampling needs it.

    Args:
        scores: [M, N], higher meaning "member".
        members: truth, [M, N].
        weights: how often each example counts, [W, N]; 0 leaves it out.
        false_positive_rate: share of non-members that a threshold may call members.

    Returns:
        For each weighting the largest true-positive rate, pooled over models, [W].

    Raises:
        ValueError: if shapes do not match, a score is NaN, members or non-members are missing or
            count nothing by some weighting, or the mask is neither true nor false.
    """
    scores, members = np.asarray(scores, np.float64), as_mask("members", members)
    if scores.shape != members.shape or weights.shape[1:] != scores.shape[1:]:
        raise ValueError(
            f"scores has shape {scores.shape}, members {members.shape} and weights "
            f"{weights.shape}; they must be (models, examples) twice and (weightings, examples)"
        )
    _check_scores(scores, members, np.ones(scores.shape, bool))
    (true, of_true), (false, of_false) = (_ranked(scores, side) for side in (members, ~members))
    weights = np.asarray(weights, np.float64)
    for name, side in (("members", of_true), ("non-members", of_false)):
        if (empty := np.flatnonzero(weights[:, side].sum(axis=1) <= 0)).size:
            raise ValueError(f"row {empty[0]} of weights leaves no {name} to count")
    rates = []
    for row in weights:
        called = np.cumsum(row[of_false])
        # Nothing down to the first score with which there are too many is called a member.
        first = np.searchsorted(called / called[-1], false_positive_rate, side="right")
        all_found = first == len(false)
        count = len(true) if all_found else np.searchsorted(-true, -false[first])
        rates.append(row[of_true[:count]].sum() / row[of_true].sum())
    return np.array(rates)


def _ranked(scores: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of one side from the highest to the lowest, and the examples that have them."""
    found, column = scores[chosen], np.nonzero(chosen)[1]
    order = np.argsort(-found)
    return found[order], column[order]


def _check_scores(scores: np.ndarray, members: np.ndarray, included: np.ndarray) -> None:
    if wrong := int(np.isnan(scores[included]).sum()):
        raise ValueError(
            f"scores has {wrong} NaN entries among the included; an example without shadow models "
            "on one side has no score, so use exact halves or leave it out with include="
        )
    for name, count in (
        ("members", np.sum(members & included)),
        ("non-members", np.sum(~members & included)),
    ):
        if not count:
            raise ValueError(f"members and include leave no {name} to count; both are needed")
