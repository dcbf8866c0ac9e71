"""What the study says about the predicted attack; the rules were fixed before the first run.

On judged settings alone. Development settings may have been used to choose something.

- level: the pooled AUC is predicted to 0.03 on at least 80 % of the settings. Two effects: the
  share of those with a prediction, and the share of all, in which a refusal counts as a miss;
  intervals are Wilson's, over settings.
- everywhere: it is predicted to 0.06 wherever the card claims a prediction. One effect: the worst
  setting's margin, with a t-interval over targets.
- low_fpr: TPR at 1 % FPR is within a factor of 1.5 of the attack with measured shifts and deviation
  on at least 80 % of the settings; effects as for the level.
- ranking: Spearman's correlation with the measured shift, over the members of a target, is larger
  than that of every rival on the median over settings. One effect per rival: the median of the
  differences paired by setting, with a bootstrap interval over settings.

A setting counts as refused where the card makes no prediction for most of its targets.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from experiments.framework.claims import Claim, test
from experiments.framework.results import Measured, Results
from experiments.jobs.prediction.measure import Plan
from gujax.statistics import Interval

NEAR, FAR, FACTOR, SHARE = 0.03, 0.06, 1.5, 0.8
RIVALS = {  # with their names in words
    "loss": "loss",
    "gradient norm": "gradient norm",
    "self-influence": "self-influence",
    "last-layer leverage": "last-layer leverage",
    "nats": "accumulated nats",
    "LT-IQR": "LT-IQR",
    "LiRA, 1": "LiRA, 1 reference model",
    "LiRA, 2": "LiRA, 2 reference models",
    "LiRA, 4": "LiRA, 4 reference models",
    "RMIA, 1": "RMIA, 1 reference model",
    "RMIA, 2": "RMIA, 2 reference models",
    "RMIA, 4": "RMIA, 4 reference models",
}
_SOURCE = "this project: attack predicted from curvature-weighted gradients and the gap"
_RESAMPLES = 2000


def claims(plan: Plan, results: Results) -> list[Claim]:
    """The claims with their verdicts."""
    settings = [of_setting for _, of_setting in results.where(role="judged").groups("setting")]
    predicted = [row for row in settings if not refused(row)]
    refusals = f"{len(settings) - len(predicted)} of {len(settings)} judged settings refused"
    gaps = [np.abs(auc_error(row).mean) for row in predicted]
    ratios = [tpr_ratio(row).mean for row in predicted]
    return [
        _level(
            "level",
            f"The pooled AUC of LiRA is predicted to {NEAR}",
            gaps,
            NEAR,
            settings,
            refusals,
        ),
        test(
            "everywhere",
            f"Wherever there is a prediction, the AUC of LiRA is within {FAR} of it",
            _SOURCE,
            f"largest |predicted − LiRA|: {max(gaps):.3f}; {refusals}" if gaps else refusals,
            list(_worst(predicted, gaps)),
        ),
        _level(
            "low_fpr",
            f"TPR at 1 % FPR is predicted within a factor of {FACTOR} of the attack with measured "
            "shifts and deviation",
            [abs(np.log(ratio)) for ratio in ratios],
            np.log(FACTOR),
            settings,
            refusals,
        ),
        _ranking(predicted, refusals),
    ]


def refused(of_setting: Results) -> bool:
    """Whether there is no prediction for most targets."""
    return of_setting.get("refused", method="prediction").mean > 0.5


def auc_error(of_setting: Results) -> Measured:
    """Predicted − LiRA's pooled AUC, per target."""
    return of_setting.get("auc", method="prediction") - of_setting.get("auc", method="LiRA").mean


def tpr_ratio(of_setting: Results) -> Measured:
    """Predicted TPR at 1 % FPR over that of the attack with measured shifts and deviation."""
    measured = of_setting.get("tpr_at_1pct", method="measured d and s").mean
    return of_setting.get("tpr_at_1pct", method="prediction") / measured


def better_by(rival: str, predicted: Sequence[Results]) -> Interval:
    """Median over settings by which the prediction's Spearman correlation exceeds a rival's."""
    return median(
        [
            row.get("spearman", method="prediction").mean - row.get("spearman", method=rival).mean
            for row in predicted
        ]
    )


def median(values: Sequence[float]) -> Interval:
    """Median and its 95 % bootstrap interval; without ends where there are fewer than three."""
    if len(values) < 3:
        return Interval(float(np.median(values)) if values else np.nan, np.nan, np.nan)
    rng = np.random.default_rng(0)
    draws = rng.choice(np.asarray(values), (_RESAMPLES, len(values)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return Interval(float(np.median(values)), float(low), float(high))


def share(right: int, total: int) -> Interval:
    """A share of settings with Wilson's 95 % interval."""
    if not total:
        return Interval(np.nan, np.nan, np.nan)
    found = stats.binomtest(right, total).proportion_ci(method="wilson")
    return Interval(right / total, float(found.low), float(found.high))


def _level(
    key: str,
    statement: str,
    errors: Sequence[float],
    allowed: float,
    settings: Sequence[Results],
    refusals: str,
) -> Claim:
    right = int(np.sum(np.asarray(errors) <= allowed))
    shares = [share(right, len(errors)), share(right, len(settings))]
    effects = [Interval(*(end - SHARE for end in found)) for found in shares]
    return test(
        key,
        f"{statement} on at least {100 * SHARE:.0f} % of the settings",
        _SOURCE,
        f"{right} of {len(errors)} with a prediction; {refusals}",
        effects,
    )


def _worst(predicted: Sequence[Results], gaps: Sequence[float]) -> Iterator[Interval]:
    if gaps:
        errors = auc_error(predicted[int(np.argmax(gaps))])
        yield Measured(FAR - np.abs(errors.values)).interval


def _ranking(predicted: Sequence[Results], refusals: str) -> Claim:
    differences = {rival: better_by(rival, predicted) for rival in RIVALS}
    lost = [RIVALS[rival] for rival, found in differences.items() if found.mean <= 0]
    won = sum(found.mean > 0 for found in differences.values())
    return test(
        "ranking",
        "The predicted shifts order the members of a published model better than every rival, on "
        "the median over settings",
        _SOURCE,
        f"better than {won} of {len(RIVALS)} rivals"
        + (f"; not better than {', '.join(lost)}" if lost else "")
        + f"; {refusals}",
        list(differences.values()),
    )
