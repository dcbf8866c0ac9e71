"""Ridge, shifts and deviation from the observed gap, and how sure they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from gujax.prediction import (
    Gap,
    PredictedAttack,
    Spectrum,
    UncalibratedError,
    calibrated_ridge,
    excess_kurtosis,
    generalization_gap,
    influence_deviation,
    paired_gap,
    predict_attack,
    ridge_for_gap,
    shift_of,
    squared_changes,
    surest_gap,
)

_GRID = np.linspace(-5, 7, 49)  # of log λ, around the calibrated one


class Compared(NamedTuple):
    """What is seen of the runs before any gradient is computed.

    Attributes:
        gap: the observed gap.
        alike: how many pairs of runs treated each example alike, [N]; None without a rerun.
        changes: sum of their halved squared changes of φ, [N]; likewise.
        reruns: φ of the reruns and their members, [R, N]; likewise.
        kurtosis: excess kurtosis of changes of φ of examples that were treated alike; likewise.
        surest: the gap of the examples that the runs are surest of; likewise, or if they are few.
    """

    gap: Gap
    alike: Int[np.ndarray, " pool"] | None
    changes: Float[np.ndarray, " pool"] | None
    reruns: tuple[Float[np.ndarray, "reruns pool"], Bool[np.ndarray, "reruns pool"]] | None
    kurtosis: float | None = None
    surest: Gap | None = None

    def deviation(
        self, weights: Float[np.ndarray, "*draws pool"] | None = None
    ) -> Float[np.ndarray, "*draws"]:
        """s where examples count that often, [..., N]; once if None. NaN without a rerun."""
        if self.alike is None or self.changes is None:
            return np.full(() if weights is None else weights.shape[:-1], np.nan)
        counts = np.ones(len(self.alike)) if weights is None else weights
        return np.sqrt(counts @ self.changes / (counts @ self.alike))


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What the gap says.

    Attributes:
        gap: the observed gap.
        refusal: why there is no calibration; None where there is one.
        ridge: λ in the space where it was calibrated; without calibration, that of the upper limit.
        exact_ridge: the λ of exact gradients for which it stands.
        effective_dimension: directions that the members determine at that ridge.
        shift: d at that ridge, [N].
        deviation: s.
        resampled: the attack on resampled examples, each with a gap, ridge and deviation of its
            own; none without calibration.
    """

    gap: Gap
    refusal: str | None
    ridge: float
    exact_ridge: float
    effective_dimension: float
    shift: Float[np.ndarray, " pool"]
    deviation: float
    resampled: tuple[PredictedAttack, ...] = ()

    def limit(self, measure: Callable[[PredictedAttack], float]) -> float:
        """A measure of the attack where the gap is as large as it may be; NaN if unknown."""
        if not np.isfinite(self.shift).all():
            return float("nan")
        return measure(predict_attack(self.shift, self.deviation))


def compare(
    phi: Float[np.ndarray, " pool"],
    members: Bool[np.ndarray, " pool"],
    reruns: Sequence[tuple[Float[np.ndarray, " pool"], Bool[np.ndarray, " pool"]]],
    target: float = 1.0,
) -> Compared:
    """Gap and deviation of φ, as seen.

    Args:
        phi: of the published model, [N].
        members: that it was trained on, [N].
        reruns: φ of each rerun and its members.
        target: probability of its class that training pulls an example to.

    Raises:
        ValueError: a rerun is the same model as another.
    """
    if not reruns:
        return Compared(generalization_gap(phi, members), None, None, None)
    phis, masks = (np.stack(part) for part in zip(*reruns))
    counts, sums = squared_changes(phi, phis, members, masks)
    runs = phi, phis, members, masks
    gap = paired_gap(*runs, target)
    return Compared(gap, counts, sums, (phis, masks), excess_kurtosis(*runs), surest_gap(*runs))


def calibrate(spectrum: Spectrum, compared: Compared) -> Calibrated:
    """Calibrates the ridge; `resampled` is left empty."""
    spectrum = replace(spectrum, reruns=compared.reruns)
    phi, members, gap = spectrum.signal, spectrum.members, compared.gap
    try:
        ridge, refusal = calibrated_ridge(spectrum, phi, members, gap=gap), None
    except UncalibratedError as error:
        ridge, refusal = _largest(spectrum, gap), str(error)
    if not np.isfinite(ridge):
        unknown = np.full(len(phi), 0.0 if ridge > 0 else np.nan)
        return Calibrated(gap, refusal, ridge, ridge, np.nan, unknown, 1.0)
    deviation = float(compared.deviation())
    if np.isnan(deviation):
        deviation = influence_deviation(spectrum, ridge)
    return Calibrated(
        gap,
        refusal,
        ridge,
        spectrum.represented_ridge(ridge),
        spectrum.effective_dimension(ridge),
        shift_of(spectrum.self_influence(ridge), *spectrum.runs, spectrum.target),
        deviation,
    )


def resample(
    spectrum: Spectrum, compared: Compared, fitted: Calibrated, num_resamples: int, seed: int
) -> Calibrated:
    """Calibrates again on resampled examples, where there is a calibration.

    Args:
        spectrum: of the gradients of φ.
        compared: gap and deviation as seen.
        fitted: of `calibrate`.
        num_resamples: number of bootstrap resamples.
        seed: of the resampling.
    """
    if fitted.refusal is not None:
        return fitted
    spectrum = replace(spectrum, reruns=compared.reruns)
    members = spectrum.members
    ridges = fitted.ridge * np.exp(_GRID)
    shifts = shift_of(spectrum.self_influences(ridges), *spectrum.runs, spectrum.target)
    weights = _drawn(members, num_resamples, np.random.default_rng(seed))
    deviations = compared.deviation(weights)
    observed = compared.gap.observed(weights)
    predicted = compared.gap.predicted(shifts, weights)
    resampled = (
        predict_attack(
            _between(shifts, predicted[:, i], observed[i]),
            fitted.deviation if np.isnan(deviations[i]) else deviations[i],
            weights=weights[i],
        )
        for i in range(num_resamples)
    )
    return replace(fitted, resampled=tuple(resampled))


def _drawn(
    members: Bool[np.ndarray, " pool"], num_resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, "draws pool"]:
    """How often each example is drawn: of members and of the others as many as there are."""
    weights = np.empty((num_resamples, len(members)))
    for side in (members, ~members):
        count = int(side.sum())
        for row in weights:
            row[side] = np.bincount(rng.integers(count, size=count), minlength=count)
    return weights


def _largest(spectrum: Spectrum, gap: Gap) -> float:
    """The ridge at the upper end of the gap: inf where that is no gap, NaN where none explains."""
    if not gap.high > 0:
        return np.inf
    try:
        return ridge_for_gap(spectrum, gap, gap.high)
    except UncalibratedError:
        return np.nan


def _between(
    shifts: Float[np.ndarray, "ridges pool"],
    predicted: Float[np.ndarray, " ridges"],
    observed: float,
) -> Float[np.ndarray, " pool"]:
    """Shifts that explain the gap of resampled examples, between those of two ridges."""
    if observed <= predicted[-1]:  # large ridges scale all shifts alike
        return shifts[-1] * max(observed, 0) / predicted[-1]
    i = int(np.clip(np.sum(predicted > observed) - 1, 0, len(shifts) - 2))
    part = np.clip((predicted[i] - observed) / (predicted[i] - predicted[i + 1]), 0, 1)
    return (1 - part) * shifts[i] + part * shifts[i + 1]
