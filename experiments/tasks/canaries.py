"""Canaries in a task's training split: examples made to be found."""

from dataclasses import replace
from typing import Literal

from experiments.framework.errors import UserError
from experiments.tasks.task import Task
from gujax import data

CanaryKind = Literal["none", "mislabelled", "near_duplicates"]

COPIES = 2
_MOST = 50
NOISE = 0.1


def with_canaries(task: Task, kind: CanaryKind, count: int | None, noise: float = NOISE) -> Task:
    """The task with some training examples made canaries, and near-duplicates of them appended.

    Args:
        count: How many; None for 50, or one in a hundred examples where that is fewer: what is
            mislabelled takes accuracy.
        noise: Of a copy, in standard deviations of each feature.

    Raises:
        UserError: There are fewer ordinary training examples than canaries, or fewer than
            two classes.
    """
    train, classes = task.dataset.train, task.dataset.num_classes
    if kind == "none":
        return task
    if count is None:
        count = min(_MOST, max(1, len(train) // 100))
    if count > len(train) // 2:
        raise UserError(
            f"--num-canaries {count} are more than half of the {len(train)} training examples of "
            f"{task.dataset.name}; take fewer"
        )
    if kind == "mislabelled":
        made = data.mislabelled_canaries(train, count, classes)
    else:
        made = data.near_duplicate_canaries(train, count, classes, copies=COPIES, noise=noise)
    return replace(task, dataset=replace(task.dataset, train=made.split), canaries=made)
