"""The space that inputs are attacked in: standardized, as networks are trained."""

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.tasks.task import Task
from gujax import data
from gujax.training import AnyArray


@dataclass(frozen=True)
class Space:
    """How standardized inputs and the data set's own values belong together.

    Attributes:
        mean: Per channel of an image, or per feature.
        deviation: Likewise; 1 where the values are constant.
        is_image: Whether examples are images [H, W, C] with values in [0, 1].
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    is_image: bool

    def standardize(self, x: Float[np.ndarray, "examples ..."]) -> Float[np.ndarray, "..."]:
        """Standardized inputs."""
        return ((x - np.asarray(self.mean)) / np.asarray(self.deviation)).astype(np.float32)

    def restore(self, x: Float[AnyArray, "examples ..."]) -> Float[np.ndarray, "examples ..."]:
        """The data set's own values; those of images are cut to [0, 1]."""
        values = np.asarray(x, np.float64) * np.asarray(self.deviation) + np.asarray(self.mean)
        # What diverged is no reconstruction: the mean input stands for it.
        values = np.where(np.isfinite(values), values, np.asarray(self.mean))
        return np.clip(values, 0, 1) if self.is_image else values

    @property
    def limits(self) -> tuple[Array, Array] | None:
        """Black and white after standardization; None for inputs that are not images."""
        if not self.is_image:
            return None
        mean, deviation = jnp.asarray(self.mean), jnp.asarray(self.deviation)
        return -mean / deviation, (1 - mean) / deviation


def standardized(task: Task) -> tuple[Task, Space]:
    """The task on standardized inputs, and the way back.

    Mean and deviation are those of the training split: of each channel of images, of each feature
    otherwise.

    Args:
        task: A task with the data set's own values.
    """
    dataset = task.dataset
    is_image = len(dataset.feature_shape) == 3
    axes = (0, 1, 2) if is_image else 0
    mean, deviation = dataset.train.x.mean(axes), dataset.train.x.std(axes)
    space = Space(
        tuple(mean.ravel().tolist()),
        tuple(np.where(deviation > 0, deviation, 1).ravel().tolist()),
        is_image,
    )

    def moved(split: data.Split) -> data.Split:
        return replace(split, x=space.standardize(split.x))

    return replace(
        task, dataset=replace(dataset, train=moved(dataset.train), test=moved(dataset.test))
    ), space
