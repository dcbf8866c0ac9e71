"""Canaries: examples with a wrong label, put into each training set by a fair coin."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int

from experiments.tasks.task import Task


def with_canaries(
    task: Task, num_canaries: int, rng: np.random.Generator
) -> tuple[Task, Int[np.ndarray, " canaries"]]:
    """The task with other labels on some training examples, drawn evenly, and where those are.

    A label that contradicts the others has to be memorized, so that its presence shows more than
    that of an ordinary example: a stronger test of the guarantee, which holds for every example.
    """
    train, num_classes = task.dataset.train, task.dataset.num_classes
    canaries = np.sort(rng.choice(len(train), num_canaries, replace=False))
    labels = train.y.copy()
    labels[canaries] += rng.integers(1, num_classes, num_canaries).astype(labels.dtype)
    labels %= num_classes
    dataset = replace(task.dataset, train=replace(train, y=labels))
    return replace(task, dataset=dataset), canaries


def coin_flips(
    num_models: int, num_examples: int, canaries: np.ndarray, rng: np.random.Generator
) -> Bool[np.ndarray, "models examples"]:
    """Training sets: every ordinary example, and each canary by a fair coin.

    The coins of a model are independent, as the one-run audit assumes. Models come in pairs that
    differ in every canary, so that each canary is in exactly half of the models.
    """
    flips = rng.random((num_models // 2, len(canaries))) < 0.5
    members = np.ones((num_models, num_examples), bool)
    members[:, canaries] = np.concatenate([flips, ~flips])
    return members
