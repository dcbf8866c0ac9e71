"""Data sets of a study, with the model and the size that suit them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console

from experiments.framework.errors import UserError, as_user_error
from experiments.tasks.task import ModelName, Task, make_task
from gujax import data

# Those that come with the package, and small ones that may have been prepared.
DEFAULT = ("digits", "mnist10k", "bangkok_locations")


@dataclass(frozen=True)
class Sizes:
    """How much a study trains of a kind of data.

    Attributes:
        train_size: Training examples that are kept, at most.
        shadow_models: Models per defense and seed.
        epochs: Passes over the data, for every defense; None for those of the recipes.
    """

    train_size: int
    shadow_models: int
    epochs: int | None = None


@dataclass(frozen=True)
class Kinds:
    """What is trained on which kind of data: a convnet on colour images, else an MLP.

    Attributes:
        hidden: Widths of the MLP's hidden layers.
        channels: Widths of the convnet's stages.
        mlp: How much to train with the MLP.
        convnet: How much to train with the convnet.
        test_size: Test examples that are kept, at most.
    """

    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    mlp: Sizes
    convnet: Sizes
    test_size: int


@dataclass(frozen=True)
class Case:
    """One data set, ready to train on."""

    task: Task
    sizes: Sizes


def load_cases(names: Sequence[str] | None, kinds: Kinds, console: Console) -> list[Case]:
    """Loads data sets and builds their models.

    Args:
        names: Data sets; None for `DEFAULT`, of which those that cannot be loaded are left out
            with a sentence.
        kinds: What is trained on which kind of data.
        console: Where the sentence is printed.

    Raises:
        UserError: A named data set cannot be loaded.
    """
    cases = []
    for name in DEFAULT if names is None else dict.fromkeys(names):
        try:
            cases.append(_load(name, kinds))
        except UserError as error:
            if names is not None:
                raise
            console.print(f"left out: {error}", markup=False, highlight=False, soft_wrap=True)
    return cases


def _load(name: str, kinds: Kinds) -> Case:
    largest = max(kinds.mlp.train_size, kinds.convnet.train_size)
    with as_user_error(ValueError):
        loaded = data.load(name, train_size=largest, at_most=True)
    shape = loaded.feature_shape
    is_color = len(shape) == 3 and shape[-1] == 3
    sizes = kinds.convnet if is_color else kinds.mlp
    kept = replace(
        loaded,
        train=loaded.train.prefix(sizes.train_size),
        test=loaded.test.prefix(kinds.test_size),
    )
    model: ModelName = "convnet" if is_color else "mlp"
    task = make_task(kept, model, kinds.hidden, kinds.channels)
    return Case(task, sizes)
