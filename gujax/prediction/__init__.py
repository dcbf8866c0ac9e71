"""What the best membership attack finds in one published model, predicted from the model itself.

    φ = signal(logits, label)          log-odds of the true class
    T = gram of ∂φ/∂θ                  over members and held-out examples
    λ = calibrated_ridge(T, φ, members)     so that the predicted gap is the observed one
    d = membership_shift(T, φ, members, λ)  what training on an example adds to its φ
    predict_attack(d, s)                    AUC, TPR, ROC, per example and over all

The attacker sees the published model alone, and has as many shadow models as he likes.
"""

from gujax.prediction._attack import PredictedAttack, predict_attack
from gujax.prediction._calibration import UncalibratedError, calibrated_ridge, ridge_for_gap
from gujax.prediction._deviation import (
    excess_kurtosis,
    influence_deviation,
    rerun_deviation,
    squared_changes,
)
from gujax.prediction._gap import Gap, generalization_gap, paired_gap, surest_gap
from gujax.prediction._shift import membership_shift, shift_of
from gujax.prediction._signal import signal
from gujax.prediction._spectrum import Spectrum, gram_spectrum, sketch_spectrum

__all__ = [
    "Gap",
    "PredictedAttack",
    "Spectrum",
    "UncalibratedError",
    "calibrated_ridge",
    "excess_kurtosis",
    "generalization_gap",
    "gram_spectrum",
    "influence_deviation",
    "membership_shift",
    "paired_gap",
    "predict_attack",
    "rerun_deviation",
    "ridge_for_gap",
    "shift_of",
    "signal",
    "sketch_spectrum",
    "squared_changes",
    "surest_gap",
]
