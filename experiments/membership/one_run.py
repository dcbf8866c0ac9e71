"""The attack on a defense's models, predicted from one of them and two more of its seed."""

import time
from collections.abc import Sequence
from functools import cache, partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

import gujax
from experiments.membership.defenses import Defense
from experiments.membership.prediction import Prediction, predict
from experiments.membership.runs import DefenseRun, SeedRun
from experiments.tasks.adaptation import adapted
from experiments.tasks.task import Task
from gujax import training


class OneRun(NamedTuple):
    """What is predicted of one model.

    Attributes:
        auc: Pooled AUC; NaN if refused.
        tpr_at_1pct: Pooled TPR at 1 % FPR; likewise.
        seconds: That it took, compiling included.
        refusal: Why there is no number, in a few words; empty if there is.
        reason: The same, in full.
    """

    auc: float
    tpr_at_1pct: float
    seconds: float
    refusal: str = ""
    reason: str = ""


def predict_defense(task: Task, run: DefenseRun) -> list[OneRun]:
    """Predicts for each seed the attack on the first model, with the others kept as its reruns.

    Pooled over ordinary examples, as what attacks achieve is; canaries are trained on, and not
    counted.
    """
    apply = _logits(adapted(task, run.recipe).model.apply)
    return [_predict(task, apply, run.defense, of_seed) for of_seed in run.seeds]


@cache  # the same function for all defenses of a model, so that it is compiled once
def _logits(apply):
    return partial(training.predict, apply)


def _predict(task: Task, apply, defense: Defense, run: SeedRun) -> OneRun:
    began, train = time.perf_counter(), task.dataset.train
    kept = [jax.tree.map(lambda leaf, i=i: leaf[i], run.kept) for i in range(_count(run))]
    if unfit := _unfit(defense, len(kept)):
        return OneRun(np.nan, np.nan, 0.0, *unfit)
    published, *reruns = zip(kept, run.members)
    found = predict(apply, (train.x, train.y), published, reruns, num_resamples=1)
    auc, tpr = _pooled(found, _ordinary(task))
    seconds = time.perf_counter() - began
    return OneRun(auc, tpr, seconds, _in_short(found), found.refusal)


def _count(run: SeedRun) -> int:
    return len(jax.tree.leaves(run.kept)[0])


def _unfit(defense: Defense, kept: int) -> tuple[str, str] | None:
    """What keeps the prediction from applying, whatever the models are."""
    if defense.method.labels is not None:
        return "soft labels", "models learn what other models say, and not the labels"
    if defense.removes:
        return (
            "removed members",
            "examples that were removed before training count as members, of which the prediction "
            "knows nothing",
        )
    if kept < 2:
        return "no rerun", "four models of a seed or more have one that is no complement"
    return None


def _ordinary(task: Task) -> Bool[np.ndarray, " examples"]:
    canaries = () if task.canaries is None else task.canaries.ids
    return ~np.isin(task.dataset.train.ids, canaries)


def _pooled(found: Prediction, counted: Bool[np.ndarray, " examples"]) -> tuple[float, float]:
    shift: Float[np.ndarray, " examples"] = found.shift[counted]
    known = ~np.isnan(shift)
    if found.assessment is None or not known.any():
        return float("nan"), float("nan")
    attack = gujax.predict_attack(shift[known], found.assessment.deviation)
    return attack.auc, float(attack.tpr(0.01))


def _in_short(found: Prediction) -> str:
    if not found.refusal:
        return ""
    if found.assessment is None:
        return "unfit data"
    if found.assessment.calibrated:
        return "not safe"
    gap = found.assessment.fitted.gap
    return "gap not explained" if gap.significant else "no significant gap"


def refused(predicted: Sequence[OneRun]) -> str:
    """In a few words why there is no number for a defense; empty if every seed has one."""
    words = [one.refusal for one in predicted if one.refusal]
    if not words:
        return ""
    every = len(words) == len(predicted)
    return words[0] if every else f"{words[0]} ({len(words)} of {len(predicted)} seeds)"
