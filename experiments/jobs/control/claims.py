"""What the study says about in-run control; the rule was fixed before the first run.

The claim, for each of gate, clip and budget: at equal accuracy, control in the run discloses less
than removing and retraining. Accuracy is made equal by interpolation between settings, seed by seed
(`frontier`), at losses of accuracy against plain SGD that were named beforehand. Effect at each
loss: what the best of all attacks finds at 1 % false positives under censoring − what it finds
under the method, paired by seed, removed points counted as members. Losses that a method or
censoring does not reach in every seed are left out; the verdict follows from the 95 % t-intervals
of the rest (`experiments.framework.claims.verdict`).
"""

from experiments.framework.claims import Claim, test
from experiments.framework.results import Results
from experiments.jobs.control.analysis import LEFT_OUT
from experiments.jobs.control.measure import Plan
from experiments.jobs.control.options import REFERENCE
from experiments.report.formats import percent, points

RULE = (
    "The rule was fixed before the first run: reproduced if, at every named loss of accuracy that "
    "both methods reach in every seed, the best of all attacks finds fewer members (at 1 % "
    "false positives, removed points counted as members) than under censoring, beyond the 95 % "
    "t-interval of the difference paired by seed; partly if at some and at none more; contradicted "
    "if at one it finds more; not told apart if all intervals include 0."
)
_SOURCE = "proposed here, against censoring of GNQ v1 (arXiv 2510.10902)"
_NAMES = {"gate": "The gate", "clip": "The clip", "budget": "The budget"}


def claims(plan: Plan, results: Results) -> list[Claim]:
    """One claim for each way of in-run control."""
    methods = [name for name in results.values("method") if name not in (REFERENCE, LEFT_OUT)]
    return [_claim(plan.options.drops, results, method) for method in methods]


def _claim(drops: tuple[float, ...], results: Results, method: str) -> Claim:
    effects, measured = [], []
    for drop in drops:
        rate, reference = (
            results.find("tpr_at_1pct", method=name, lost=drop) for name in (method, REFERENCE)
        )
        if rate is None or reference is None:
            continue
        effects.append(reference - rate)
        measured.append(
            f"at {points(drop)} less accuracy {percent(2)(rate)} % found, under censoring "
            f"{percent(2)(reference)} %"
        )
    return test(
        f"control_{method}",
        f"{_NAMES.get(method, method)} discloses less than removing and retraining, at equal "
        "accuracy",
        _SOURCE,
        "; ".join(measured) or "no loss of accuracy was reached by both",
        effects,
    )
