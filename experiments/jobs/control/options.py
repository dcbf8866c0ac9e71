"""Options of the job `control`."""

from experiments.framework.errors import check_option
from experiments.framework.options import Fraction, Several, options
from experiments.membership.options import DefenseOptions, MembershipOptions
from experiments.tasks.options import CanaryOptions

REFERENCE = "censor"


@options
class Options(DefenseOptions, CanaryOptions, MembershipOptions):
    """Is control in the run better than removing and retraining, at equal accuracy?

    Every method is run at several strengths; what attacks find is then compared where methods cost
    the same accuracy.

    Attributes:
        defenses: Methods at several strengths, such as gate:0.95 gate:0.9. Plain SGD is run anyway;
            "censor" is what the others are compared with.
        drops: Losses of accuracy, against plain SGD, at which methods are compared.
    """

    defenses: Several[str] = (
        *("gate:0.95", "gate:0.9", "gate:0.7"),
        *("clip:0.05", "clip:0.01", "clip:0.003"),
        *("budget:4", "budget:2", "budget:1"),
        *("censor:0.05", "censor:0.1", "censor:0.2", "censor:0.4"),
    )
    drops: Several[Fraction] = (0.01, 0.02, 0.04)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_option(
            any(defense.family == REFERENCE for defense in self.chosen),
            f"--defenses names no {REFERENCE}: it is what the others are compared with",
        )
