"""What the run says about the calibration of predicted attacks."""

from collections.abc import Callable

import numpy as np

from experiments.framework.claims import Claim, test
from experiments.framework.results import Measured, Results
from experiments.jobs.calibration.measure import Plan
from experiments.report.formats import UNKNOWN, number
from gujax.statistics import Interval

TOLERANCE = 0.02  # of a mean AUC: what a prediction may be off and still be called right
BIN_TOLERANCE = 0.05  # of the AUC of a decile, on average over deciles

_SOURCE = "this project: prediction AUC = Φ(μ/√2) with μ² = Σ GNQ/(p(1−p))"
_QUESTION = "this project's question"
_CARRIED = {
    "new_examples": "new examples",
    "new_models": "new shadow models",
    "new_seeds": "new seeds",
}


def claims(plan: Plan, results: Results) -> list[Claim]:
    """The claims with their verdicts; those about attackers are about the main data set."""
    main, *others = plan.tasks
    updates = results.where(attack="updates", dataset=main)
    final = results.where(attack="final", dataset=main)
    bin_gap = final.get("bin_gap")
    return [
        _updates(
            "calibrated_when_every_update_is_seen",
            "An attacker who sees every update through the noise that the ridge stands for "
            "achieves what GNQ predicts.",
            updates,
            lambda every: every == 1,
        ),
        _updates(
            "calibrated_when_some_updates_are_seen",
            "An attacker who sees every k-th update achieves what GNQ predicts, composed over the "
            "updates that are seen.",
            updates,
            lambda every: every > 1,
        ),
        test(
            "one_ridge_calibrates_the_final_model",
            "With one fitted ridge, GNQ predicts the attack on the final model decile by decile.",
            _QUESTION,
            f"ridge {ridge_text(final.get('fitted_ridge'))}; mean |predicted − achieved| over "
            f"deciles {number(3)(bin_gap)} (allowed {BIN_TOLERANCE})",
            [_within(bin_gap, BIN_TOLERANCE)],
        ),
        *(
            _carries(f"to_{where}", what, final.get("gap", carried_to=where))
            for where, what in _CARRIED.items()
        ),
        *(
            _carries(
                f"to_{name}",
                f"another data set, from {main} to {name}",
                results.get("gap", attack="final", dataset=name, carried_to="another_dataset"),
            )
            for name in others
        ),
    ]


def ridge_text(log_ridge: Measured) -> str:
    """A ridge whose logarithm was averaged over seeds: geometric mean and interval."""
    mean, low, high = (10.0**end for end in log_ridge.interval)
    if np.isnan(mean):
        return UNKNOWN
    # Three digits, never an exponent.
    shown = [f"{float(f'{value:.3g}'):,.12g}" for value in (mean, low, high)]
    return shown[0] if np.isnan(low) else f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _updates(key: str, statement: str, updates: Results, counts: Callable[[int], bool]) -> Claim:
    gaps = {
        f"ridge {ridge:g}" + (f", k={every}" if every > 1 else ""): row.get("gap")
        for (ridge, every), row in updates.groups("ridge", "every")
        if counts(every)
    }
    measured = "; ".join(f"{name}: {number(4)(gap)}" for name, gap in gaps.items())
    return test(
        key,
        statement,
        _SOURCE,
        f"predicted − achieved mean AUC (allowed {TOLERANCE}): {measured}",
        [_within(gap, TOLERANCE) for gap in gaps.values()],
    )


def _carries(key: str, what: str, gap: Measured) -> Claim:
    return test(
        f"fitted_ridge_carries_over_{key}",
        f"A ridge fitted to the attack on some final models carries over to {what}.",
        _QUESTION,
        f"predicted − achieved mean AUC {number(3)(gap)} (allowed {TOLERANCE})",
        [_within(gap, TOLERANCE)],
    )


def _within(gap: Measured, tolerance: float) -> Interval:
    """How far the gap of each seed stays within the tolerance: positive where it does."""
    return Measured(tolerance - np.abs(gap.values)).of_every_seed
