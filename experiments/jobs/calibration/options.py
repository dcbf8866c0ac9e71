"""Options of the job `calibration`."""

from typing import Annotated

from experiments.framework.errors import check_option
from experiments.framework.options import Count, Distinct, Several, must, options
from experiments.tasks.options import RepeatedOptions

# Ridges to predict for: between them predictions are interpolated.
GRID = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4)
_ON_GRID = must(lambda r: GRID[0] <= r <= GRID[-1], f"between {GRID[0]:g} and {GRID[-1]:g}")
_MODELS = must(lambda n: n >= 8 and n % 4 == 0, "a multiple of 4 and at least 8")


@options
class Options(RepeatedOptions):
    """Predicted against achieved attacks, by what the attacker sees.

    Every update of a real run through the noise that the ridge stands for, every k-th update, or
    only the final model. For each it is asked which ridge makes the prediction agree, and whether
    a ridge that was fitted on some final models holds for other examples, models, seeds and data.

    Attributes:
        other_datasets: Data sets to which fitted ridges are carried over.
        shadow_models: Final models per seed (multiple of 4): each is attacked with the others.
        train_size: Keep at most so many training examples; half of them are members. The attack on
            updates takes time that grows with its cube.
        ridges: Relative ridges whose noise is added to what the attacker of updates sees.
        every: The attacker sees every k-th update, for each k; 1 must be among them.
        draws: Releases with, and as many without, the target that the attack is judged on.
        checkpoints: Epochs after which GNQ is measured for the attack on the final model.
    """

    other_datasets: tuple[str, ...] = ("breast_cancer",)
    shadow_models: Annotated[int, _MODELS] = 16
    train_size: Count = 800
    ridges: Several[Annotated[float, _ON_GRID]] = (1.0, 10.0, 100.0)
    every: Distinct[int] = (1, 5, 20)
    draws: Count = 32
    checkpoints: Count = 5

    def __post_init__(self) -> None:
        check_option(
            1 in self.every and all(k >= 1 for k in self.every),
            "--every must name positive numbers, 1 among them",
        )
