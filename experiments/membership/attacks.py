"""Membership attacks on trained models, and what they reach."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, PyTree
from scipy import stats

from experiments.tasks.task import Task, logits_of_many
from gujax.attacks import membership

# Each by its name in tables. "lira" is the strongest form; "lira_pooled" that of earlier versions.
ATTACKS = {
    "lira": "LiRA",
    "vector_lira": "vector LiRA",
    "rmia": "RMIA",
    "lira_pooled": "LiRA, one variance",
    "loss": "loss",
}


class Outputs(NamedTuple):
    """What M models answer.

    Attributes:
        scores: for each attack of `ATTACKS`, its scores on the training split, [M, N].
        margin: the signal of LiRA, `gujax.attacks.membership.scaled_confidence`, [M, N].
        test_correct: whether each test example is classified correctly, [M, T].
    """

    scores: dict[str, Float[np.ndarray, "models examples"]]
    margin: Float[np.ndarray, "models examples"]
    test_correct: Bool[np.ndarray, "models test"]


def query(task: Task, params: PyTree, members: Bool[np.ndarray, "models examples"]) -> Outputs:
    """Attacks every model, with the others as shadow models and the test split as population.

    Of random halves with their complements, 6 or more, the target's complement is no shadow: there
    are then as many shadows with an example as without, and what leaks nothing is not found.
    """
    train, test = task.dataset.train, task.dataset.test
    logits = logits_of_many(task, params, train)
    test_logits = logits_of_many(task, params, test)
    confidence, population = (
        np.exp(membership.log_confidence(*pair))
        for pair in ((logits, train.y), (test_logits, test.y))
    )
    complements = spares_complements(members)
    margin = membership.scaled_confidence(logits, train.y)
    scores = {
        # One variance for all examples is fooled by a defense that changes who varies, as gates do.
        "lira": membership.lira(
            margin, members, variance="shrunk", shared=True, complements=complements
        ),
        "vector_lira": membership.vector_lira(logits, train.y, members, complements=complements),
        "lira_pooled": membership.lira(margin, members, complements=complements),
        "rmia": membership.rmia(confidence, members, population, complements=complements),
        "loss": membership.loss_threshold(logits, train.y),
    }
    return Outputs(scores, margin, test_logits.argmax(-1) == test.y)


def spares_complements(members: Bool[np.ndarray, "models examples"]) -> bool:
    """Whether attacks leave a target's complement out of its shadow models.

    So they do among random halves with their complements. Of fewer than 6 it cannot be spared.
    """
    half = len(members) // 2
    return half >= 3 and np.array_equal(members, ~np.roll(members, half, axis=0))


def measures(
    scores: Float[np.ndarray, "models examples"],
    members: Bool[np.ndarray, "models examples"],
    include: Bool[np.ndarray, "models examples"] | None = None,
) -> dict[str, float]:
    """AUC, TPR at 1 % and 0.1 % false positives and balanced accuracy, pooled over models."""
    result = membership.evaluate_attack(scores, members, include=include, num_resamples=0)
    return {
        "auc": result.auc.mean,
        "tpr_at_1pct": result.tpr_at_fpr_1pct.mean,
        "tpr_at_01pct": result.tpr_at_fpr_01pct.mean,
        "balanced_accuracy": result.balanced_accuracy.mean,
    }


def auc_per_example(
    scores: Float[np.ndarray, "models examples"], members: Bool[np.ndarray, "models examples"]
) -> Float[np.ndarray, " examples"]:
    """AUC of the attack on each example alone: members' scores against non-members', over models.

    Every example must be a member of equally many models (`gujax.training.random_halves`).
    """
    num_in = members.sum(axis=0)
    if not (num_in == num_in[0]).all():
        raise ValueError("members differ in how many models hold each example; use random_halves")
    columns = np.argsort(~members, axis=0, kind="stable")
    ordered = np.take_along_axis(scores, columns, axis=0)
    inside, outside = ordered[: num_in[0]], ordered[num_in[0] :]
    statistic = stats.mannwhitneyu(inside, outside, axis=0, method="asymptotic").statistic
    return statistic / (len(inside) * len(outside))
