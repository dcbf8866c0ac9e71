"""Options of the job `precode`."""

from experiments.framework.errors import check_option
from experiments.framework.options import Count, NonNegative, Positive, Several, options
from experiments.inversion.options import InversionOptions
from experiments.tasks.task import ModelName

FAMILIES = ("precode", "ppp", "cvb")


@options
class Options(InversionOptions):
    """PRECODE, PPP and CVB: accuracy with and without them, and attacks that know of them or not.

    Every network is trained with and without each defense, from the same initial parameters and
    with the same choice of learning rates; at initialization its updates are attacked. No defense
    is shown without an attack that is adapted to it.

    Attributes:
        dataset: "digits" is embedded; any other name is loaded with tensorflow_datasets from
            TFDS_DATA_DIR.
        models: Architectures.
        hidden: Widths of the MLP's hidden layers; the papers' are 1024 1024.
        train_size: Keep only so many training examples; default: all.
        defenses: What is compared with no defense: precode, ppp:STRENGTH (noise over the rms of
            the leaves that it is added to), cvb (left out for an MLP beside another model);
            default: precode, ppp:1, and cvb for networks with convolutions.
        epochs: Passes over the data.
        batch_size: Examples per batch in training.
        learning_rates: Learning rates of Adam that are tried, for every defense.
        beta: Weight of PRECODE's KL divergence, in bits.
        early_beta: Weight of CVB's, which is a sum over positions.
    """

    dataset: str = "digits"
    models: Several[ModelName] = ("mlp", "lenet")
    hidden: tuple[Count, ...] = (256, 256)
    train_size: Count | None = None
    defenses: Several[str] | None = None
    epochs: Count = 10
    batch_size: Count = 64
    learning_rates: Several[Positive] = (1e-3, 3e-3)
    beta: NonNegative = 1e-3
    early_beta: NonNegative = 1e-5

    def __post_init__(self) -> None:
        for name in self.defenses or ():
            check_option(
                name.partition(":")[0] in FAMILIES,
                f"--defenses {name} is none of {', '.join(FAMILIES)}; the job `invert` has others",
            )
