"""Examples made to be found: canaries, by which the most vulnerable data is stood in for."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from gujax.data._dataset import Split
from gujax.validation import check_count, check_nonnegative


class Canaries(NamedTuple):
    """A split with canaries in it.

    Attributes:
        split: the examples, N.
        ids: ids of the canaries, ascending, of copies too; all other examples are as they were.
        groups: a number for each example, [N]: the members of one group must be in a training set
            together or not at all, so draw halves of groups and index them,
            ``random_halves(key, num_models, groups.max() + 1)[:, groups]``.
    """

    split: Split
    ids: Int[np.ndarray, " canaries"]
    groups: Int[np.ndarray, " examples"]


def mislabelled_canaries(split: Split, count: int, num_classes: int, seed: int = 0) -> Canaries:
    """Give some examples a wrong label.

    A mislabelled example is fitted only if it is remembered, so it is found if any is (Aerni et al.
    2024, arXiv 2404.17399): true-positive rates of canaries, reported apart, stand for those of the
    most vulnerable data, which an average over all examples hides.

    Args:
        split: the examples.
        count: how many become canaries, drawn at random.
        num_classes: number of classes; the wrong label is drawn evenly from the others.
        seed: seed of both draws.

    Returns:
        The canaries; every example is a group of its own.

    Raises:
        ValueError: if there are fewer examples than canaries, or fewer than two classes.
    """
    chosen, labels = _draw(split, count, num_classes, np.random.default_rng(seed))
    y = np.array(split.y)
    y[chosen] = labels
    groups = np.arange(len(split), dtype=np.int32)
    return Canaries(replace(split, y=y), np.sort(split.ids[chosen]), groups)


def near_duplicate_canaries(
    split: Split,
    count: int,
    num_classes: int,
    *,
    copies: int,
    noise: float,
    seed: int = 0,
) -> Canaries:
    """Give some examples a wrong label, and near-duplicates with the same one.

    What a defense promises to one example it need not promise to a few alike: a teacher that has
    not seen an example has seen its near-duplicate, and answers as if it had (against SELENA, Aerni
    et al. 2024, arXiv 2404.17399). The attack asks whether the group was in the training set.

    Args:
        split: the examples.
        count: how many are copied, drawn at random.
        num_classes: number of classes; the wrong label is drawn evenly from the others.
        copies: near-duplicates of each; they are appended, with the next free ids.
        noise: their deviation from the original, in standard deviations of each feature over the
            split; 0 for exact duplicates.
        seed: seed of all draws.

    Returns:
        The canaries, originals and copies; an original and its copies are one group.

    Raises:
        ValueError: if there are fewer examples than canaries, fewer than two classes, or ``copies``
            or ``noise`` is out of range.
    """
    check_count("copies", copies)
    check_nonnegative("noise", noise)
    rng = np.random.default_rng(seed)
    chosen, labels = _draw(split, count, num_classes, rng)
    y = np.array(split.y)
    y[chosen] = labels
    sources = np.repeat(chosen, copies)
    shift = noise * split.x.std(axis=0) * rng.normal(size=(len(sources), *split.x.shape[1:]))
    first = int(split.ids.max()) + 1
    ids = np.arange(first, first + len(sources), dtype=np.int32)
    subgroups = None if split.subgroups is None else _extended(split.subgroups, sources)
    extended = Split(
        x=np.concatenate([split.x, (split.x[sources] + shift).astype(split.x.dtype)]),
        y=_extended(y, sources),
        ids=np.concatenate([split.ids, ids]),
        subgroups=subgroups,
    )
    groups = _extended(np.arange(len(split), dtype=np.int32), sources)
    return Canaries(extended, np.concatenate([np.sort(split.ids[chosen]), ids]), groups)


def _draw(
    split: Split, count: int, num_classes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the canaries and their wrong labels."""
    check_count("count", count)
    if count > len(split):
        raise ValueError(
            f"count={count} canaries are more than the {len(split)} examples of the split; take "
            "fewer"
        )
    if num_classes < 2:
        raise ValueError(f"num_classes={num_classes} leaves no wrong label; needed are 2 or more")
    chosen = rng.permutation(len(split))[:count]
    return chosen, (split.y[chosen] + rng.integers(1, num_classes, count)) % num_classes


def _extended(values: np.ndarray, sources: np.ndarray) -> np.ndarray:
    return np.concatenate([values, values[sources]])
