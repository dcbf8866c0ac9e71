"""What the run says about the calibration of predicted attacks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.framework.claim import Claim, verdict
from experiments.framework.seeds import number, of_every_seed, over_seeds

TOLERANCE = 0.02  # of a mean AUC: what a prediction may be off and still be called right
BIN_TOLERANCE = 0.05  # of the AUC of a decile, on average over deciles

_SOURCE = "this project: prediction AUC = Φ(μ/√2) with μ² = Σ GNQ/(p(1−p))"
_QUESTION = "this project's question"


def claims(summary: Mapping[str, Any]) -> list[Claim]:
    """The claims with their verdicts, see `experiments.framework.claim`.

    Args:
        summary: What `analysis.summarize` returned.
    """
    main, *others = summary["final"]
    updates = summary["updates"][main]
    final = summary["final"][main]
    carried = final["carry_over"]
    tested = [
        _updates(
            "calibrated_when_every_update_is_seen",
            "An attacker who sees every update through the noise that the ridge stands for "
            "achieves what GNQ predicts.",
            [entry for entry in updates if entry["every"] == 1],
        ),
        _updates(
            "calibrated_when_some_updates_are_seen",
            "An attacker who sees every k-th update achieves what GNQ predicts, composed over the "
            "updates that are seen.",
            [entry for entry in updates if entry["every"] > 1],
        ),
        Claim(
            "one_ridge_calibrates_the_final_model",
            "With one fitted ridge, GNQ predicts the attack on the final model decile by decile.",
            _QUESTION,
            f"ridge {ridge_text(final['fitted_ridge'])}; mean |predicted − achieved| over deciles "
            f"{number(final['bin_gap'], 3)} (allowed {BIN_TOLERANCE})",
            verdict([of_every_seed(_within(final["bin_gap"], BIN_TOLERANCE))]),
        ),
        _carries("to_new_examples", "new examples", carried["new_examples"]),
        _carries("to_new_models", "new shadow models", carried["new_models"]),
        _carries("to_new_seeds", "new seeds", carried["new_seeds"]),
    ]
    tested += [
        _carries(
            f"to_{name}",
            f"another data set, from {main} to {name}",
            summary["final"][name]["carry_over"]["from_main_dataset"],
        )
        for name in others
    ]
    return tested


def ridge_text(entry: Mapping[str, Any]) -> str:
    """A ridge whose logarithm was averaged over seeds: geometric mean and interval."""
    mean, low, high = (10.0 ** entry[end] for end in ("mean", "low", "high"))
    if np.isnan(mean):
        return "–"
    # Three digits, never an exponent.
    shown = [f"{float(f'{value:.3g}'):,.12g}" for value in (mean, low, high)]
    return shown[0] if np.isnan(low) else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _updates(key: str, statement: str, entries: Sequence[Mapping[str, Any]]) -> Claim:
    gaps = [
        f"ridge {entry['ridge']:g}"
        + (f", k={entry['every']}" if entry["every"] > 1 else "")
        + f": {number(entry['gap'], 4)}"
        for entry in entries
    ]
    effects = [of_every_seed(_within(entry["gap"], TOLERANCE)) for entry in entries]
    measured = f"predicted − achieved mean AUC (allowed {TOLERANCE}): " + "; ".join(gaps)
    return Claim(key, statement, _SOURCE, measured, verdict(effects))


def _carries(key: str, what: str, gap: Mapping[str, Any]) -> Claim:
    return Claim(
        f"fitted_ridge_carries_over_{key}",
        f"A ridge fitted to the attack on some final models carries over to {what}.",
        _QUESTION,
        f"predicted − achieved mean AUC {number(gap, 3)} (allowed {TOLERANCE})",
        verdict([of_every_seed(_within(gap, TOLERANCE))]),
    )


def _within(gap: Mapping[str, Any], tolerance: float) -> dict[str, Any]:
    """How far the gap of each seed stays within the tolerance: positive where it does."""
    return over_seeds(tolerance - np.abs(np.asarray(gap["per_seed"], float)))
