"""What the study says about in-run control; the rule was fixed before the first run.

The claim, for each of gate, clip and budget: at equal accuracy, control in the run discloses less
than removing and retraining. Accuracy is made equal by interpolation between settings, seed by seed
(`frontier`), at losses of accuracy against plain SGD that were named beforehand. Effect at each
loss: what the better of LiRA and RMIA finds at 1 % false positives under censoring − what it finds
under the method, paired by seed, removed points counted as members. Losses that a method or
censoring does not reach in every seed are left out; the verdict follows from the 95 % t-intervals
of the rest (`experiments.framework.claim.verdict`).
"""

from collections.abc import Mapping
from typing import Any

from experiments.framework.claim import Claim, verdict
from experiments.framework.seeds import differences, interval, percent
from experiments.jobs.control.analysis import REFERENCE

RULE = (
    "The rule was fixed before the first run: reproduced if, at every named loss of accuracy that "
    "both methods reach in every seed, the better of LiRA and RMIA finds fewer members (at 1 % "
    "false positives, removed points counted as members) than under censoring, beyond the 95 % "
    "t-interval of the difference paired by seed; partly if at some and at none more."
)
_SOURCE = "proposed here, against censoring of GNQ v1 (arXiv 2510.10902)"
NAMES = {"gate": "The gate", "clip": "The clip", "budget": "The budget"}


def claims(summary: Mapping[str, Any]) -> list[Claim]:
    """One claim for each way of in-run control."""
    return [_claim(summary, family) for family in NAMES if family in summary["at_drops"]]


def _claim(summary: Mapping[str, Any], family: str) -> Claim:
    effects, measured = [], []
    reached = zip(summary["drops"], summary["at_drops"][family], summary["at_drops"][REFERENCE])
    for drop, rate, reference in reached:
        if rate is None or reference is None:
            continue
        effects.append(interval(differences(reference, rate)))
        measured.append(
            f"at {100 * drop:g} points less accuracy {percent(rate, 2)} % found, under censoring "
            f"{percent(reference, 2)} %"
        )
    return Claim(
        f"control_{family}",
        f"{NAMES[family]} discloses less than removing and retraining, at equal accuracy",
        _SOURCE,
        "; ".join(measured) or "no loss of accuracy was reached by both",
        verdict(effects),
    )
