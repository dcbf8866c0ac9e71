"""Whether what is predicted is within the limits that someone set."""

from dataclasses import dataclass

from gujax.statistics import Interval


@dataclass(frozen=True)
class Decision:
    """May the model be published?

    Attributes:
        allowed: whether every limit is kept for certain.
        reasons: why not, or what holds; sentences.
    """

    allowed: bool
    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.allowed


def decide(limits: dict[str, tuple[float, Interval]], unsafe: tuple[str, ...]) -> Decision:
    """Compares the upper end of each interval with its limit; in doubt the answer is no.

    Args:
        limits: for each measure, the limit and what is predicted.
        unsafe: why the prediction should not be trusted.

    Raises:
        ValueError: there is no limit.
    """
    if not limits:
        raise ValueError("no limit is given; pass at least one, such as max_auc=0.6")
    reasons, kept = [], True
    for name, (limit, value) in limits.items():
        holds = value.high <= limit  # NaN does not
        kept &= holds
        reasons.append(
            f"{name} {'holds' if holds else 'does not hold'}: at most {limit:g} is allowed, up to "
            f"{value.high:.3g} is predicted."
        )
    if unsafe:
        return Decision(False, ("The prediction is not safe to rely on.", *unsafe, *reasons))
    return Decision(kept, tuple(reasons))
