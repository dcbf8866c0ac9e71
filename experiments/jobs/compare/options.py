"""Options of the job `compare`."""

from experiments.framework.errors import check_option
from experiments.framework.options import Count, Positive, Several, options
from experiments.membership.options import DefenseOptions, MembershipOptions


@options
class Options(DefenseOptions, MembershipOptions):
    """Compare defenses on one data set.

    Every defense trains the same random halves of the data from the same initial parameters; LiRA,
    RMIA and a loss threshold then attack every model, the others serving as its shadow models.

    Attributes:
        defenses: What to compare, such as gate:0.9; a name without a strength stands for the usual
            ones. "sgd" comes first: censoring takes from its runs what to remove.
        other_ridges: Relative ridges under which plain SGD is measured too, for comparison.
    """

    defenses: Several[str] = ("sgd", "gate", "clip", "censor", "dp_sgd")
    seeds: Count = 3
    other_ridges: tuple[Positive, ...] = (0.01, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_option(
            self.chosen[0].family == "sgd",
            "--defenses must start with sgd: it is what the others are compared with",
        )
