"""Data sets with rare groups, made from those without."""

from collections.abc import Collection
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from gujax.data._dataset import Dataset, Split

GroupBy = Literal["class", "subgroup"]


def group_labels(split: Split, by: GroupBy = "class") -> Int[np.ndarray, " examples"]:
    """The group of each example.

    Args:
        split: the examples.
        by: ``"class"`` for the label to predict, ``"subgroup"`` for the second label.

    Returns:
        Labels of the groups, [N].

    Raises:
        ValueError: if there is no second label.
    """
    if by == "class":
        return split.y
    if split.subgroups is None:
        raise ValueError(
            "by='subgroup' but the data set has no subgroup labels; group by='class' instead"
        )
    return split.subgroups


def imbalance(
    dataset: Dataset, rare: Collection[int], keep: float, by: GroupBy = "class"
) -> Dataset:
    """The data set with only some of the training examples of chosen groups.

    Of each chosen group the first examples are kept, in the order of the data set, so that the
    result is the same every time and a smaller ``keep`` gives a part of what a larger one gives.
    All other examples stay, as does the test split, whose groups are then as easy to tell apart as
    before. Ids are those of the whole data set.

    Args:
        dataset: what to take examples from.
        rare: labels of the groups that become rare.
        keep: share of their training examples to keep, in (0, 1]; rounded up, so that none of the
            groups disappears.
        by: what makes a group, see `group_labels`.

    Returns:
        The data set with the smaller training split.

    Raises:
        ValueError: if ``keep`` is out of range, a group has no training example, or the data set
            has no subgroup labels.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep={keep} must be greater than 0 and at most 1")
    labels = group_labels(dataset.train, by)
    kept = np.ones(len(labels), bool)
    for group in rare:
        positions = np.flatnonzero(labels == group)
        if not len(positions):
            raise ValueError(
                f"{by} {group} has no training example in {dataset.name!r}; choose from "
                f"{', '.join(map(str, np.unique(labels)))}"
            )
        kept[positions[int(np.ceil(keep * len(positions))) :]] = False
    return replace(dataset, train=_select(dataset.train, kept))


def _select(split: Split, kept: Bool[np.ndarray, " examples"]) -> Split:
    subgroups = None if split.subgroups is None else split.subgroups[kept]
    return Split(split.x[kept], split.y[kept], split.ids[kept], subgroups)
