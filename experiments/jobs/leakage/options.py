"""Options of the job `leakage`."""

from typing import Annotated

from annotated_types import Ge

from experiments.framework.errors import check_option
from experiments.framework.options import (
    Count,
    CountFromZero,
    Distinct,
    Fraction,
    NonNegative,
    Positive,
    Several,
    options,
)
from experiments.tasks.options import TaskOptions
from experiments.tasks.task import ModelName

# Directions in which gradients are kept. Averages and noise are then exact in these directions.
RANK = 64


@options
class Options(TaskOptions):
    """What each layer's gradient gives away.

    Gradients of single examples, or averaged over batches, are measured layer by layer:
    V-information and attribute inference about a private attribute, V-information, sensitivity and
    inversion about the input, and the distance between the subspaces of gradients with and without
    the attribute; against training progress, batch size, dropout and noise.

    Attributes:
        attribute: The private attribute: a feature of the data set, such as speaker or
            attributes/Male, or one value of it against the others, as in race:White; or, computed
            from the data, "brightness" or "thickness" (of strokes) of an image, "parity" of a
            digit, "animal" (or vehicle, cifar10), "column:17" of a tabular set, "class:3", or
            "function:package.module.name", a function of a `gujax.data.Split`.
        layers: Prefixes of the parameter tree; default: every layer or block.
        seeds: Independent repeats; intervals are over them.
        examples: Training examples whose gradients are looked at, drawn anew by every seed.
        epochs: Epochs of training after which they are looked at; 0 is the untrained network.
        reference_epoch: That of `epochs` at which batch size, dropout and noise are varied.
        batch_sizes: Batch sizes to average over, beside 1.
        dropout: Dropout rates before fully connected layers, beside 0.
        noise: Standard deviations of noise on every entry of the gradient, beside 0, over the
            median norm of one example's gradient (the noise multiplier of DP-SGD that clips there).
        learning_rate: Of Adam, which trains the networks.
        batch_size: Of training.
        folds: Of the predictors of V-information and of attribute inference.
        width: Principal coordinates of a layer's gradient that predictors are given.
        input_components: Principal components of the input that predictors predict.
        subspace_dimensions: Dimensions k of the subspaces.
        sensitivity_examples: Examples whose sensitivity is measured.
        probes: Random probes per example of the sensitivity's estimate.
        victims: Examples whose gradients are inverted, one by one.
        iterations: Steps of Inverting Gradients.
        inversion_rate: Learning rate of Inverting Gradients, on standardized inputs.
        total_variation: Weight of the total variation of Inverting Gradients.
        relative_ridge: Ridge of GNQ over the mean squared gradient norm of the examples.
    """

    model: ModelName = "vgg"
    attribute: str = "brightness"
    layers: tuple[str, ...] = ()
    seeds: Count = 3
    examples: Count = 500
    epochs: Several[CountFromZero] = (0, 1, 10)
    reference_epoch: CountFromZero = 1
    batch_sizes: Distinct[Annotated[int, Ge(2)]] = (4, 16)
    dropout: Distinct[Fraction] = (0.5,)
    noise: Distinct[Positive] = (0.1, 1.0)
    learning_rate: Positive = 1e-3
    batch_size: Count = 32
    folds: Annotated[int, Ge(3)] = 5
    width: Count = 16
    input_components: Count = 8
    subspace_dimensions: Several[Count] = (1, 2, 4, 8, 16)
    sensitivity_examples: Count = 32
    probes: Annotated[int, Ge(2)] = 16
    victims: Count = 16
    iterations: Count = 300
    inversion_rate: Positive = 0.1
    total_variation: NonNegative = 1e-2
    relative_ridge: Positive = 0.1

    def __post_init__(self) -> None:
        check_option(
            self.reference_epoch in self.epochs,
            f"--reference-epoch {self.reference_epoch} must be one of --epochs "
            f"{' '.join(map(str, self.epochs))}",
        )
        check_option(
            self.victims <= self.examples,
            f"--victims {self.victims} are chosen among the --examples {self.examples}; "
            "ask for at most that many",
        )
        for name, value in (
            ("width", self.width),
            ("subspace-dimensions", max(self.subspace_dimensions)),
        ):
            check_option(
                value <= RANK,
                f"--{name} {value} is more than the {RANK} directions in which gradients are kept",
            )

    @property
    def recovery_epochs(self) -> tuple[int, ...]:
        """When gradients are inverted: before training, and where other things are varied."""
        return tuple(dict.fromkeys((self.epochs[0], self.reference_epoch)))
