"""Options of the job `who_pays`."""

from experiments.framework.options import Fraction, Several, options
from experiments.membership.defenses import Defense, parse_defense
from experiments.membership.options import DefenseOptions, MembershipOptions
from gujax.data import GroupBy


@options
class Options(DefenseOptions, MembershipOptions):
    """Who pays for privacy: accuracy and exposure by class or subgroup, where some are rare.

    Plain SGD and defenses train the data set as it is, and a variant in which chosen groups have
    few training examples; the test split stays as it is. LiRA attacks every model.

    Attributes:
        group_by: What makes a group: "class", the label to predict, or "subgroup", the
            attribute.
        rare: Labels of the groups that become rare.
        keep: Share of their training examples that is kept.
        defenses: What to run beside plain SGD, which all are compared with, such as gate:0.9; a
            name without a strength stands for the last of the usual ones.
        train_size: Keep only so many training examples, before groups become rare; default: all.
    """

    group_by: GroupBy = "class"
    rare: Several[int] = (8, 9)
    keep: Fraction = 0.1
    defenses: tuple[str, ...] = ("gate", "censor", "dp_sgd")

    @property
    def chosen(self) -> list[Defense]:
        """Plain SGD, and the other defenses, each once."""
        named = (parse_defense(name, self.delta) for name in ("sgd", *self.named))
        return list(dict.fromkeys(named))
