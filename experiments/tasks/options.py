"""Options that say what is learned."""

from pathlib import Path

from experiments.framework.options import Count, RunOptions, options
from experiments.tasks.task import ModelName, Task, load_task


@options
class TaskOptions(RunOptions):
    """Options of jobs on one data set.

    Attributes:
        dataset: "digits" and "breast_cancer" are embedded; any other name is loaded with
            tensorflow_datasets from TFDS_DATA_DIR.
        target: Feature to predict, such as income or attributes/Smiling; default: what the data
            set says.
        attribute: Feature that gives the subgroups, such as sex; default: the only class label
            beside the target.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        train_size: Keep only so many training examples; default: all.
    """

    dataset: str = "digits"
    target: str | None = None
    attribute: str | None = None
    model: ModelName = "mlp"
    hidden: tuple[Count, ...] = (128,)
    train_size: Count | None = None

    def load_task(self, channels: tuple[int, ...] = (16, 32)) -> Task:
        """Loads the task that the options describe; `channels` are widths of the convnet's stages.

        Raises:
            UserError: The data set cannot be loaded, or the model does not fit it.
        """
        return load_task(
            self.dataset,
            self.model,
            self.hidden,
            self.train_size,
            channels,
            self.target,
            self.attribute,
        )


@options
class TrainingOptions(TaskOptions):
    """Options of jobs that train with recipes which were found before.

    Attributes:
        epochs: Passes over the data, for every defense; default: those of the recipes.
        recipes: Hyperparameters written by the `tune` job; default: those that come along.
    """

    epochs: Count | None = None
    recipes: Path | None = None


@options
class RepeatedOptions(TrainingOptions):
    """Options of jobs that do so several times.

    Attributes:
        seeds: Independent repeats; intervals are over them.
    """

    seeds: Count = 5
