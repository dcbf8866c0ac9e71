"""Ridge, shifts and deviation from the observed gap, and how sure they are."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from gujax.prediction import (
    Gap,
    PredictedAttack,
    Spectrum,
    UncalibratedError,
    calibrated_ridge,
    generalization_gap,
    influence_deviation,
    paired_gap,
    predict_attack,
    ridge_for_gap,
    shift_of,
    squared_changes,
)

_GRID = np.linspace(-5, 7, 49)  # of log λ, around the calibrated one


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What the gap says.

    Attributes:
        gap: the observed gap.
        refusal: why there is no calibration; None where there is one.
        ridge: λ; without calibration, that of the upper limit.
        effective_dimension: directions that the members determine at that ridge.
        shift: d at that ridge, [N].
        deviation: s.
        resampled: the attack on resampled examples, each with a gap, ridge and deviation of its
            own; none without calibration.
    """

    gap: Gap
    refusal: str | None
    ridge: float
    effective_dimension: float
    shift: Float[np.ndarray, "pool"]
    deviation: float
    resampled: tuple[PredictedAttack, ...]

    def limit(self, measure: Callable[[PredictedAttack], float]) -> float:
        """A measure of the attack where the gap is as large as it may be; NaN if unknown."""
        if not np.isfinite(self.shift).all():
            return float("nan")
        return measure(predict_attack(self.shift, self.deviation))


def calibrate(
    spectrum: Spectrum,
    rerun: tuple[Float[np.ndarray, "pool"], Bool[np.ndarray, "pool"]] | None,
    num_resamples: int,
    seed: int,
) -> Calibrated:
    """Calibrates, and again on resampled examples.

    Args:
        spectrum: of the gradients of φ.
        rerun: φ of the rerun and its members, or None.
        num_resamples: number of bootstrap resamples.
        seed: of the resampling.
    """
    phi, members = spectrum.signal, spectrum.members
    if rerun is None:
        gap = generalization_gap(phi, members)
        alike, changes = None, None
    else:
        gap = paired_gap(phi, rerun[0], members, rerun[1])
        alike, changes = squared_changes(phi, rerun[0], members, rerun[1])
    try:
        ridge, refusal = calibrated_ridge(spectrum, phi, members, gap=gap), None
    except UncalibratedError as error:
        ridge, refusal = _largest(spectrum, gap), str(error)
    if not np.isfinite(ridge):
        unknown = np.full(len(phi), 0.0 if ridge > 0 else np.nan)
        return Calibrated(gap, refusal, ridge, np.nan, unknown, 1.0, ())
    deviation = influence_deviation(spectrum, ridge) if changes is None else _root_mean(changes)
    shift = shift_of(spectrum.self_influence(ridge), phi, members)
    shown = spectrum.represented_ridge(ridge), spectrum.effective_dimension(ridge)
    if refusal is not None:
        return Calibrated(gap, refusal, *shown, shift, deviation, ())
    shifts = shift_of(spectrum.self_influences(ridge * np.exp(_GRID)), phi, members)
    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(num_resamples):
        # As many members and held-out examples as there are, of those that there are.
        weights = np.empty(len(phi))
        for side in (members, ~members):
            count = int(side.sum())
            weights[side] = rng.multinomial(count, np.full(count, 1 / count))
        drawn = deviation if changes is None else _root_mean(changes, weights[alike])
        shift_drawn = _for_gap(shifts, gap, weights)
        resampled.append(predict_attack(shift_drawn, drawn, weights=weights))
    return Calibrated(gap, None, *shown, shift, deviation, tuple(resampled))


def _largest(spectrum: Spectrum, gap: Gap) -> float:
    """The ridge at the upper end of the gap: inf where that is no gap, NaN where none explains."""
    if not gap.high > 0:
        return np.inf
    try:
        return ridge_for_gap(spectrum, gap, gap.high)
    except UncalibratedError:
        return np.nan


def _for_gap(
    shifts: Float[np.ndarray, "ridges pool"], gap: Gap, weights: Float[np.ndarray, "pool"]
) -> Float[np.ndarray, "pool"]:
    """Shifts that explain the gap of resampled examples, between those of two ridges."""
    observed, predicted = gap.observed(weights), gap.predicted(shifts, weights)
    if observed <= predicted[-1]:  # large ridges scale all shifts alike
        return shifts[-1] * max(observed, 0) / predicted[-1]
    i = int(np.clip(np.sum(predicted > observed) - 1, 0, len(shifts) - 2))
    part = np.clip((predicted[i] - observed) / (predicted[i] - predicted[i + 1]), 0, 1)
    return (1 - part) * shifts[i] + part * shifts[i + 1]


def _root_mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    return float(np.sqrt(np.average(values, weights=weights)))
