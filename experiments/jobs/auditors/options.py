"""Options of the job `auditors`."""

from typing import Annotated

from annotated_types import Ge

from experiments.framework.errors import check_option
from experiments.framework.options import Count, Fraction, Positive, Several, must, options
from experiments.tasks.options import RepeatedOptions


@options
class Options(RepeatedOptions):
    """GNQ's bound, the one-run audit, LiRA and the accountant on the same DP-SGD runs.

    Canaries, examples with a wrong label, are put into every training set by fair coins.

    Attributes:
        shadow_models: Models per seed and ε (even): LiRA attacks each with the others.
        epsilons: Values of ε for DP-SGD.
        delta: δ of DP-SGD and of every auditor.
        canaries: How many training examples are canaries.
        guesses: How many canaries the one-run audit guesses to be included.
        significance: Probability with which each lower bound may be wrong.
    """

    shadow_models: Annotated[int, must(lambda n: n >= 6 and n % 2 == 0, "even and at least 6")] = 16
    epsilons: Several[Positive] = (1.0, 2.0, 4.0, 8.0)
    delta: Fraction = 1e-5
    canaries: Annotated[int, Ge(10)] = 300
    guesses: Count = 60
    significance: Annotated[float, must(lambda p: 0 < p < 0.5, "between 0 and 0.5")] = 0.05

    def __post_init__(self) -> None:
        check_option(
            self.guesses <= self.canaries,
            f"--guesses {self.guesses} must be between 1 and --canaries {self.canaries}",
        )
