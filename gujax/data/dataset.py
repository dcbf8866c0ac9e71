"""What a loaded data set is."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class Split:
    """One split, in memory.

    Attributes:
        x: features, [N, ...], float32; images are scaled to [0, 1].
        y: class labels, [N], int32.
        ids: example ids, [N], int32: 0 to N - 1 in the order in which the data set stores them.
        subgroups: a second class label of each example, [N], int32, or None if there is none.
    """

    x: Float[np.ndarray, "examples ..."]
    y: Int[np.ndarray, "examples"]
    ids: Int[np.ndarray, "examples"]
    subgroups: Int[np.ndarray, "examples"] | None = None

    @classmethod
    def from_arrays(
        cls, x: np.ndarray, y: np.ndarray, subgroups: np.ndarray | None = None
    ) -> "Split":
        """A split with the ids 0 to N - 1.

        Args:
            x: features, [N, ...].
            y: class labels, [N].
            subgroups: a second label, [N], or None.
        """
        return cls(
            x=np.asarray(x, np.float32),
            y=np.asarray(y, np.int32),
            ids=np.arange(len(y), dtype=np.int32),
            subgroups=None if subgroups is None else np.asarray(subgroups, np.int32),
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
    """

    name: str
    train: Split
    test: Split
    num_classes: int
    class_names: tuple[str, ...] | None = None

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one example's features."""
        return self.train.x.shape[1:]
