"""Groups of examples, some of which are made rare."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int

from experiments.framework.errors import as_user_error, check_option
from experiments.tasks.task import Task
from gujax import data

RARE, COMMON = "rare", "common"


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of a task.

    Attributes:
        names: In the order of their labels.
        rare: Labels of those that are rare, or would be.
        train: Label of each training example.
        test: Label of each test example.
    """

    names: tuple[str, ...]
    rare: tuple[int, ...]
    train: Int[np.ndarray, " examples"]
    test: Int[np.ndarray, " test"]

    def masks(self) -> dict[str, tuple[Bool[np.ndarray, " examples"], Bool[np.ndarray, " test"]]]:
        """Training and test examples of each group, of all rare groups and of all others.

        A group without training or without test examples is left out.
        """
        masks = {
            name: (self.train == label, self.test == label) for label, name in enumerate(self.names)
        }
        rare = np.isin(self.train, self.rare), np.isin(self.test, self.rare)
        masks |= {RARE: rare, COMMON: (~rare[0], ~rare[1])}
        return {name: pair for name, pair in masks.items() if pair[0].any() and pair[1].any()}


def groups_of(task: Task, rare: Collection[int], by: data.GroupBy) -> Groups:
    """The groups of a task, those of some labels being rare.

    Raises:
        UserError: The data set has no subgroups, or no group of such a label, or would have no
            other.
    """
    split = task.dataset.train, task.dataset.test
    with as_user_error(ValueError):
        train, test = (data.group_labels(part, by) for part in split)
    names = task.class_names
    if by == "subgroup":
        numbers = range(int(max(train.max(), test.max())) + 1)
        names = list(task.dataset.attribute_names or map(str, numbers))
    present = np.intersect1d(train, test)
    for label in rare:
        check_option(
            label in present,
            f"--rare {label} is no {by} with training and test examples of {task.dataset.name}; "
            f"choose from {', '.join(map(str, present))}",
        )
    check_option(
        len(set(rare)) < len(present), "--rare names every group; leave at least one common"
    )
    return Groups(tuple(names), tuple(sorted(set(rare))), train, test)


def made_rare(task: Task, groups: Groups, keep: float, by: data.GroupBy) -> tuple[Task, Groups]:
    """The task with a share of the rare groups' training examples, and its groups."""
    with as_user_error(ValueError):
        dataset = data.imbalance(task.dataset, groups.rare, keep, by)
    return replace(task, dataset=dataset), replace(
        groups, train=data.group_labels(dataset.train, by)
    )
