"""Options of the job `censoring`."""

from experiments.framework.errors import check_option
from experiments.framework.options import Count, Models, Positive, Several, options
from experiments.membership.defenses import Defense
from experiments.membership.options import DefenseOptions, Strengths
from experiments.tasks.options import CanaryOptions


@options
class Options(DefenseOptions, CanaryOptions):
    """Compare censoring with DP-SGD: accuracy against attacks that know the defense.

    Censoring audits a model, removes the members that disclosed most and trains again. LiRA and
    RMIA attack every model, the others, trained with the same defense, serving as its shadow
    models. Colour images are learned by a convnet, everything else by an MLP.

    Attributes:
        datasets: Names as `compare` takes them; default: digits, mnist10k and bangkok_locations, of
            which those that cannot be loaded are left out. A larger one is cifar10_jpeg.
        seeds: Independent repeats; intervals are over them.
        shadow_models: Models per defense and seed (even): each is attacked with the others.
        train_size: Keep at most so many training examples.
        convnet_shadow_models: The same for the convnet, which trains more slowly.
        convnet_train_size: The same for the convnet.
        convnet_epochs: The same for the convnet.
        test_size: Keep at most so many test examples.
        hidden: Widths of the MLP's hidden layers.
        channels: Widths of the convnet's stages.
        epochs: Passes over the data with the MLP, for every defense; default: the recipes'.
        defenses: What to compare, such as censor:0.1 dp_sgd:8; a name without a strength stands for
            the usual ones. Plain SGD is run anyway.
        fractions: Now censor:VALUE.
        tested_fraction: The share of each model's members, removed by censoring, that the claims
            are about.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch.
    """

    datasets: Several[str] | None = None
    seeds: Count = 5
    shadow_models: Models = 16
    train_size: Count = 2000
    convnet_shadow_models: Models = 8
    convnet_train_size: Count = 1000
    convnet_epochs: Count | None = 15
    test_size: Count = 2000
    hidden: tuple[Count, ...] = (128,)
    channels: tuple[Count, ...] = (8, 16)
    epochs: Count | None = None
    defenses: Several[str] = ("censor:0.01", "censor:0.1", "censor:0.2", "dp_sgd:2", "dp_sgd:8")
    fractions: Strengths = None
    tested_fraction: float = 0.1
    relative_ridge: Positive = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_option(
            any(censored.strength == self.tested_fraction for censored in self.of("censor")),
            f"--tested-fraction {self.tested_fraction} must be one that --defenses censors",
        )
        check_option(
            len(self.of("dp_sgd")) > 0,
            "--defenses names no dp_sgd: it is what censoring is compared with",
        )

    def of(self, family: str) -> list[Defense]:
        """The chosen defenses of one family."""
        return [defense for defense in self.chosen if defense.family == family]
