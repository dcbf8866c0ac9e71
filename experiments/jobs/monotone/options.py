"""Options of the job `monotone`."""

from experiments.framework.options import Count, Distinct, Positive, Several, options
from experiments.membership.options import MembershipOptions


@options
class Options(MembershipOptions):
    """Attack success over quantiles of gradient uniqueness, for several ways to measure it.

    Plain SGD trains random halves of the data. Every batch is measured by all estimators; LiRA and
    a loss threshold attack the final models. Where success falls before it rises (a U-curve),
    examples are compared within strata of equal gradient norm or loss.

    Attributes:
        relative_ridge: Main ridge of exact GNQ over the mean squared gradient norm: the noise that
            the attacker of the bound is assumed to face.
        other_ridges: Further ridges of exact GNQ per batch.
        diagonal_ridges: What the diagonal GNQ of v1 adds to each coordinate's second moment, over
            the mean squared gradient norm.
        checkpoints: Epochs after which GNQ is measured among the whole data set, evenly spread.
    """

    relative_ridge: Positive = 0.1
    other_ridges: Distinct[Positive] = (0.01, 1.0)
    diagonal_ridges: Several[Positive] = (1e-6, 0.1)
    checkpoints: Count = 3
