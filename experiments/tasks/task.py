"""What is learned: a data set, a model for it and the loss."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray, PyTree

from experiments.framework.errors import as_user_error
from gujax import data, models, training

ModelName = Literal["mlp", "convnet", "lenet", "lenet_sigmoid", "vgg", "resnet"]


@dataclass(frozen=True)
class Task:
    """A classification task; the loss is the cross-entropy of one example, in nats.

    Attributes:
        canaries: Those in the training split, see `with_canaries`; None if there are none.
    """

    dataset: data.Dataset
    model: models.Model
    model_name: str
    loss_fn: Callable
    canaries: data.Canaries | None = None

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, or their numbers."""
        names = self.dataset.class_names
        return list(names) if names else [str(i) for i in range(self.dataset.num_classes)]


def load_task(
    dataset: str,
    model: ModelName,
    hidden: tuple[int, ...],
    train_size: int | None = None,
    channels: tuple[int, ...] = (16, 32),
    target: str | None = None,
    attribute: str | None = None,
) -> Task:
    """Loads a data set that `gujax.data.load` knows, and builds a model that fits it.

    Args:
        train_size: Number of training examples to keep; None for all.
        hidden: Widths of the MLP's hidden layers.
        channels: Widths of the convnet's stages.
        target: Feature to predict; None for what the data set says.
        attribute: Feature that gives the subgroups; None for what the data set says.

    Raises:
        UserError: The data set cannot be loaded, or the model does not fit it.
    """
    with as_user_error(ValueError):
        loaded = data.load(dataset, train_size=train_size, target=target, attribute=attribute)
    return make_task(loaded, model, hidden, channels)


def make_task(
    dataset: data.Dataset,
    model: ModelName,
    hidden: tuple[int, ...],
    channels: tuple[int, ...] = (16, 32),
) -> Task:
    """Builds a model that fits a data set, see `load_task`.

    Raises:
        UserError: The model does not fit the data set.
    """
    shape, classes = dataset.feature_shape, dataset.num_classes
    with as_user_error(ValueError):
        match model:
            case "mlp":
                built = models.mlp(shape, classes, hidden)
                sizes = (int(np.prod(shape)), *hidden, classes)
                name = f"MLP {'-'.join(map(str, sizes))}"
            case "convnet":
                built = models.convnet(shape, classes, channels, by_patches=True)
                name = f"convnet {'-'.join(map(str, channels))} (GroupNorm)"
            case "lenet":
                built, name = models.lenet(shape, classes, "relu", by_patches=True), "LeNet (ReLU)"
            case "lenet_sigmoid":
                built = models.lenet(shape, classes, "sigmoid", by_patches=True)
                name = "LeNet (sigmoid)"
            case "vgg":
                built, name = models.vgg(shape, classes, by_patches=True), "small VGG"
            case "resnet":
                built, name = models.resnet(shape, classes, by_patches=True), "ResNet (GroupNorm)"
    return Task(dataset, built, name, training.cross_entropy_loss(built))


def initial_params(task: Task, keys: PRNGKeyArray) -> PyTree:
    """Initial parameters of M models, each leaf with a leading axis M."""
    return _initial_params(task.model.init, keys)


def logits_of_many(
    task: Task, params: PyTree, split: data.Split
) -> Float[np.ndarray, "models examples classes"]:
    """Logits of M models on every example of a split."""
    return np.asarray(_logits_of_many(task.model.apply, params, split.x))


@partial(jax.jit, static_argnums=0)
def _initial_params(init, keys):
    # One after another: under vmap, random generators take twice as long to compile.
    return jax.lax.map(init, keys)


@partial(jax.jit, static_argnums=0)
def _logits_of_many(apply, params, x):
    return jax.vmap(lambda one: training.predict(apply, one, x))(params)
