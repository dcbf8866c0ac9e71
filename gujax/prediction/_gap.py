"""How much larger the signal is with an example in training than without, as observed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.special import expit

_SIGNIFICANT = 2.326  # standard errors: one-sided 1 %
_Z95 = 1.96
_LEAST = 20  # examples of a group


class Part(NamedTuple):
    """One of the groups of examples whose means make a gap.

    Attributes:
        examples: which ones, [N].
        values: what their mean is taken of, [N].
        share: of their mean predicted shift in the predicted gap, one number or one for each, [N].
    """

    examples: Bool[np.ndarray, " pool"]
    values: Float[np.ndarray, " pool"]
    share: float | Float[np.ndarray, " pool"]


@dataclass(frozen=True, eq=False)
class Gap:
    """An observed mean shift of φ, in nats, and the same of predicted shifts.

    Attributes:
        parts: the sum of their means is the gap.
    """

    parts: tuple[Part, ...]

    @property
    def mean(self) -> float:
        """The gap."""
        return float(self.observed(np.ones(len(self.parts[0].examples))))

    @property
    def standard_error(self) -> float:
        """Of the gap, over draws of examples; what one example adds to several parts is one."""
        added = np.zeros(len(self.parts[0].examples))
        for part in self.parts:
            values = part.values[part.examples]
            count = len(values)
            added[part.examples] += (values - values.mean()) / np.sqrt(count * (count - 1))
        return float(np.sqrt(np.sum(np.square(added))))

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.mean + _Z95 * self.standard_error

    @property
    def significant(self) -> bool:
        """Whether the gap is above zero (one-sided, 1 %)."""
        return self.mean > _SIGNIFICANT * self.standard_error

    @property
    def significantly_negative(self) -> bool:
        """Whether the gap is below zero (one-sided, 1 %)."""
        return self.mean < -_SIGNIFICANT * self.standard_error

    @property
    def needed(self) -> Bool[np.ndarray, " pool"]:
        """Whose predicted shifts matter, [N]."""
        return np.any([part.examples for part in self.parts if np.any(part.share)], axis=0)

    def observed(self, weights: Float[np.ndarray, "*draws pool"]) -> Float[np.ndarray, "*draws"]:
        """The gap where examples count that often, [..., N]."""
        found = 0.0
        for part in self.parts:
            sums = weights @ np.stack([part.values * part.examples, part.examples], axis=1)
            found = found + sums[..., 0] / sums[..., 1]
        return np.asarray(found)

    def predicted(
        self,
        shifts: Float[np.ndarray, "*ridges pool"],
        weights: Float[np.ndarray, "*draws pool"] | None = None,
    ) -> Float[np.ndarray, "..."]:
        """The gap that shifts of φ predict, [...].

        Args:
            shifts: d, [..., N].
            weights: how often each example counts, [N], or in each of several draws, [D, N]; once
                if None.
        """
        counts = np.ones(shifts.shape[-1]) if weights is None else weights
        # One pass over the shifts, however many parts there are.
        combined = np.zeros(counts.shape)
        for part in self.parts:
            if np.any(part.share):
                chosen = counts * part.examples
                combined += part.share / chosen.sum(axis=-1, keepdims=True) * chosen
        return shifts @ combined.T


def generalization_gap(
    phi: Float[Array | np.ndarray, " pool"], members: Bool[Array | np.ndarray, " pool"]
) -> Gap:
    """φ of members minus that of held-out examples: the mean shift plus the luck of the draw.

    Args:
        phi: φ, [N].
        members: the examples that the model was trained on, [N]; at least 2 on each side.
    """
    phi, members = np.asarray(phi, np.float64), np.asarray(members, bool)
    return Gap((Part(members, phi, 1.0), Part(~members, -phi, 0.0)))


def paired_gap(
    phi: Float[Array | np.ndarray, " pool"],
    rerun_phi: Float[Array | np.ndarray, "*reruns pool"],
    members: Bool[Array | np.ndarray, " pool"],
    rerun_members: Bool[Array | np.ndarray, "*reruns pool"],
    target: float = 1.0,
) -> Gap:
    """The gap from several runs: each example with itself, in training and out of it.

    How hard examples are, which makes up most of the standard error of `generalization_gap`,
    cancels: on digits the error is a third. The gap is the mean over all pairs of runs, so that
    its error falls with the root of the number of reruns. Where a single rerun has no examples
    beyond the members, those that both runs treat alike stand for what else differs between them.

    Under label smoothing training moves φ up or down, towards one value, and in the mean that
    cancels. There an example counts with the sign of the way from its mean φ of the two runs to
    that value: were nothing learned of examples, the runs could be exchanged, and the gap would be
    zero.

    Args:
        phi: φ of the published model, [N].
        rerun_phi: φ of the rerun, [N], or of several, [R, N].
        members: the examples that the published model was trained on, [N].
        rerun_members: those of the reruns, likewise.
        target: probability of its class that training pulls an example to; below 1 with label
            smoothing.

    Raises:
        ValueError: fewer than 20 members are left out of a rerun.
    """
    phis, masks = _stacked(phi, rerun_phi, members, rerun_members)
    left = np.sum(masks[0] & ~masks[1:], axis=1).min()
    if left < _LEAST:
        raise ValueError(
            f"rerun_members leaves out {left} members; at least {_LEAST} must be, so train "
            "the rerun on another random half"
        )
    pairs = [
        list(_contrast(phis[[i, j]], masks[[i, j]], target))
        for i, j in combinations(range(len(phis)), 2)
    ]
    found = [pair for pair in pairs if pair]
    if not found:
        ways, alike = _ways(phis[:2], target), masks[0] == masks[1]
        change = ways * (phis[0] - phis[1])
        return Gap((Part(masks[0] & ~masks[1], change, ways), Part(alike, -change, 0.0)))
    return _mean_of(found)


def surest_gap(
    phi: Float[Array | np.ndarray, " pool"],
    rerun_phi: Float[Array | np.ndarray, "*reruns pool"],
    members: Bool[Array | np.ndarray, " pool"],
    rerun_members: Bool[Array | np.ndarray, "*reruns pool"],
) -> Gap | None:
    """`paired_gap` of the quarter of examples that two runs are surest of, over all pairs.

    Hard labels pull every signal up, these ones least. Where training lowers them, something pulls
    them back, as label smoothing does.

    Args:
        phi: φ of the published model, [N].
        rerun_phi: φ of the rerun, [N], or of several, [R, N].
        members: the examples that the published model was trained on, [N].
        rerun_members: those of the reruns, likewise.

    Returns:
        The gap; None if no pair of runs has enough of them.
    """
    phis, masks = _stacked(phi, rerun_phi, members, rerun_members)
    pairs = []
    for i, j in combinations(range(len(phis)), 2):
        middle = (phis[i] + phis[j]) / 2
        surest = middle >= np.quantile(middle, 0.75)
        pairs.append(list(_contrast(phis[[i, j]], masks[[i, j]] & surest, 1.0)))
    found = [pair for pair in pairs if pair]
    return _mean_of(found) if found else None


def _stacked(phi, rerun_phi, members, rerun_members) -> tuple[np.ndarray, np.ndarray]:
    """φ and members of all runs, [R, N], the published model's first."""
    phis = [np.atleast_2d(np.asarray(x, np.float64)) for x in (phi, rerun_phi)]
    masks = [np.atleast_2d(np.asarray(x, bool)) for x in (members, rerun_members)]
    return np.concatenate(phis), np.concatenate(masks)


def _mean_of(pairs: Sequence[Sequence[Part]]) -> Gap:
    """The mean over pairs of runs of their gaps."""
    share = 1 / len(pairs)
    return Gap(
        tuple(Part(x, share * values, share * part) for pair in pairs for x, values, part in pair)
    )


def _contrast(
    phis: Float[np.ndarray, "2 pool"], masks: Bool[np.ndarray, "2 pool"], target: float
) -> Iterator[Part]:
    """Those that only the first of two runs was trained on, and those that only the second was."""
    ways = _ways(phis, target)
    change = ways * (phis[0] - phis[1])
    only = [masks[0] & ~masks[1], masks[1] & ~masks[0]]
    if min(examples.sum() for examples in only) >= _LEAST:
        for examples, sign in zip(only, (0.5, -0.5)):
            yield Part(examples, sign * change, 0.5 * ways)


def _ways(phis: Float[np.ndarray, "2 pool"], target: float) -> Float[np.ndarray, " pool"]:
    """Whether training pulls φ up (1) or down (-1), in the middle of two runs."""
    return np.where(expit(phis.mean(axis=0)) > target, -1.0, 1.0)
