"""Data sets of the study, with the model and the size that suit them."""

from dataclasses import dataclass, replace

from rich.console import Console

from experiments.framework.errors import UserError, as_user_error
from experiments.jobs.censoring.options import Options
from experiments.tasks.task import ModelName, Task, make_task
from gujax import data

# Those that come with the package, and small ones that may have been prepared.
DEFAULT = ("digits", "mnist10k", "bangkok_locations")


@dataclass(frozen=True)
class Case:
    """One data set, ready to train on: a convnet on colour images, else an MLP."""

    task: Task
    shadow_models: int
    epochs: int | None


def load_cases(options: Options, console: Console) -> list[Case]:
    """Loads data sets and builds their models.

    Where none is named, those of `DEFAULT` that cannot be loaded are left out with a sentence.

    Raises:
        UserError: A named data set cannot be loaded.
    """
    cases = []
    for name in DEFAULT if options.datasets is None else dict.fromkeys(options.datasets):
        try:
            cases.append(_load(name, options))
        except UserError as error:
            if options.datasets is not None:
                raise
            console.print(f"left out: {error}", markup=False, highlight=False, soft_wrap=True)
    return cases


def _load(name: str, options: Options) -> Case:
    largest = max(options.train_size, options.convnet_train_size)
    with as_user_error(ValueError):
        loaded = data.load(name, train_size=largest, at_most=True)
    shape = loaded.feature_shape
    is_color = len(shape) == 3 and shape[-1] == 3
    train_size = options.convnet_train_size if is_color else options.train_size
    kept = replace(
        loaded, train=loaded.train.prefix(train_size), test=loaded.test.prefix(options.test_size)
    )
    model: ModelName = "convnet" if is_color else "mlp"
    task = options.with_canaries(make_task(kept, model, options.hidden, options.channels))
    if is_color:
        return Case(task, options.convnet_shadow_models, options.convnet_epochs)
    return Case(task, options.shadow_models, options.epochs)
