"""Options that say what is learned."""

from experiments.framework.options import Count, RunOptions, options
from experiments.tasks.task import ModelName


@options
class TaskOptions(RunOptions):
    """Options of jobs on one data set.

    Attributes:
        dataset: "digits" and "breast_cancer" are embedded; any other name is loaded with
            tensorflow_datasets from TFDS_DATA_DIR.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        train_size: Keep only so many training examples; default: all.
    """

    dataset: str = "digits"
    model: ModelName = "mlp"
    hidden: tuple[Count, ...] = (128,)
    train_size: Count | None = None
