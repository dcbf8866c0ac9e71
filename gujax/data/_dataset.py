"""What a loaded data set is."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from gujax.validation import class_labels, whole_numbers


@dataclass(frozen=True, eq=False)
class Split:
    """One split, in memory.

    Attributes:
        x: features, [N, ...], float32; images are scaled to [0, 1].
        y: class labels, [N], int32.
        ids: example ids, [N], int32: 0 to N - 1 in the order in which the data set stores them.
        subgroups: a second class label of each example, such as a private attribute, [N], int32,
            or None if there is none.
    """

    x: Float[np.ndarray, "examples ..."]
    y: Int[np.ndarray, " examples"]
    ids: Int[np.ndarray, " examples"]
    subgroups: Int[np.ndarray, " examples"] | None = None

    @classmethod
    def from_arrays(cls, x: ArrayLike, y: ArrayLike, subgroups: ArrayLike | None = None) -> "Split":
        """A split with the ids 0 to N - 1.

        Args:
            x: features, [N, ...].
            y: class labels, whole numbers from 0 on, [N]. For targets that are none, give zeros
                and then ``dataclasses.replace(split, y=targets)``: training hands ``y`` to the
                loss as it is.
            subgroups: a second label, whole numbers, [N], or None.

        Raises:
            ValueError: if ``y`` or ``subgroups`` has not one whole number per example, or ``y``
                a negative one.
        """
        x = np.asarray(x, np.float32)
        if not x.ndim:
            raise ValueError("x is a number, needed is an array of features, [N, ...]")
        return cls(
            x=x,
            y=class_labels("y", y, len(x)),
            ids=np.arange(len(x), dtype=np.int32),
            subgroups=None if subgroups is None else whole_numbers("subgroups", subgroups, len(x)),
        )

    def __len__(self) -> int:
        """Number of examples N."""
        return len(self.y)

    def prefix(self, size: int) -> "Split":
        """The first ``size`` examples, ids unchanged."""
        subgroups = None if self.subgroups is None else self.subgroups[:size]
        return replace(
            self, x=self.x[:size], y=self.y[:size], ids=self.ids[:size], subgroups=subgroups
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set with a training and a test split.

    Attributes:
        name: the name it was loaded by.
        train: the training split.
        test: the test split.
        num_classes: number of classes of ``y``.
        class_names: their names, or None if the data set has none.
        attribute: name of the feature that ``subgroups`` holds, or None.
        attribute_names: names of its values from 0 on, or None if the data set has none.
    """

    name: str
    train: Split
    test: Split
    num_classes: int
    class_names: tuple[str, ...] | None = None
    attribute: str | None = None
    attribute_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check the labels.

        Raises:
            ValueError: if those of a split are not 0 to ``num_classes`` - 1.
        """
        for name, split in (("train.y", self.train), ("test.y", self.test)):
            class_labels(name, split.y, len(split.x), self.num_classes)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one example's features."""
        return self.train.x.shape[1:]
