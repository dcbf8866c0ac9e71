"""Options of the job `tune`."""

from typing import Annotated

from annotated_types import Ge, Lt

from experiments.framework.errors import check_option
from experiments.framework.options import Count, CountFromZero, Positive, Several, options
from experiments.membership.options import DefenseOptions
from experiments.tasks.options import TaskOptions


@options
class Options(DefenseOptions, TaskOptions):
    """Search hyperparameters for every defense on one data set.

    Models are trained on random halves of the training split and judged on the other half; the
    test split is not touched. The best few of a wide search on few halves go into finals on many
    fresh ones, and the highest mean accuracy there wins. DP-SGD is given by far the largest
    search: a baseline must not lose for want of tuning.

    Attributes:
        repeats: Random halves per configuration of the search.
        finalists: Configurations of each defense, for each number of epochs, that go into the
            finals.
        final_repeats: Random halves per finalist, other ones than those of the search.
        defenses: What to search for, such as gate:0.9; a name without a strength stands for the
            usual ones.
        learning_rates: Learning rates of SGD with momentum, and a hundredth of them for Adam.
        batch_size: Batch size of all methods but DP-SGD.
        epochs: Passes over the data of all methods but DP-SGD. The best recipe of each number is
            kept: stopped early, a defense wants another learning rate.
        dp_learning_rates: For DP-SGD, the learning rate times the clipping norm (the length of a
            step of clipped gradients).
        dp_clips: Clipping norms.
        dp_batch_sizes: Expected batch sizes of DP-SGD.
        dp_epochs: Passes over the data of DP-SGD.
        multiplicities: Numbers of randomly shifted and flipped copies of an image that every method
            tries as one example; 0 is the image itself.
        dp_multiplicities: The same for DP-SGD.
        shift: Largest shift of a copy, in pixels.
        flip: Whether copies are flipped.
        average_decay: If positive, every configuration is judged twice: by its last parameters and
            by their moving average with this decay.
        standardize_weights: Whether kernels of convolutions are standardized; every method tries
            each value given.
        relative_ridge: Ridge of gate and clip.
    """

    repeats: Count = 3
    finalists: Count = 8
    final_repeats: Count = 16
    defenses: Several[str] = ("sgd", "gate", "clip", "dp_sgd")
    learning_rates: Several[Positive] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
    batch_size: Count = 64
    epochs: Several[Count] = (2, 5, 30)
    dp_learning_rates: Several[Positive] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
    dp_clips: Several[Positive] = (0.3, 1.0, 4.0)
    dp_batch_sizes: Several[Count] = (64, 128, 256)
    dp_epochs: Several[Count] = (5, 30, 60)
    multiplicities: Several[CountFromZero] = (0,)
    dp_multiplicities: Several[CountFromZero] = (0,)
    shift: CountFromZero = 2
    flip: bool = False
    average_decay: Annotated[float, Ge(0), Lt(1)] = 0.0
    standardize_weights: Several[bool] = (False,)
    relative_ridge: Positive = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        methods = {defense.family: defense.method for defense in self.chosen}
        borrowing = [name for name, m in methods.items() if m.removes or m.labels or m.passes]
        check_option(
            not borrowing,
            f"--defenses {' '.join(borrowing)}: there is no search for it, as it trains with the "
            "recipes of others",
        )
        check_option(
            not any(defense.epochs for defense in self.chosen),
            "--defenses: leave out what is behind the @; the search has its own --epochs",
        )
