"""What the study says about censoring against DP-SGD; the rule was fixed before the first run.

The claim (GNQ v1): censoring has membership privacy *comparable* to DP-SGD at *substantially*
better accuracy. It is tested on every data set, for one fraction named beforehand and each ε:

- comparable: at 1 % false positives, the better of LiRA and RMIA finds at most `MARGIN` more
  members under censoring than under DP-SGD. Effect: TPR under DP-SGD + margin − TPR under
  censoring.
- substantially better: at least `SUBSTANTIAL` more test accuracy. Effect: accuracy under censoring
  − accuracy under DP-SGD − that much.

Differences are paired by seed; the verdict follows from the effects' 95 % t-intervals
(`experiments.framework.claim.verdict`): reproduced if all lie above 0. The claim is tested twice:
with removed points as members, and with the removed pairs of model and example left out, for
DP-SGD as for censoring.
"""

from collections.abc import Mapping
from typing import Any

from experiments.framework.claim import Claim, verdict
from experiments.framework.seeds import differences, interval, percent
from experiments.membership.measured import find
from gujax.statistics import Interval

MARGIN = 0.005  # half of what guessing finds at 1 % false positives
SUBSTANTIAL = 0.02
RULE = (
    "The rule was fixed before the first run. Comparable: at 1 % false positives the better of "
    f"LiRA and RMIA finds at most {100 * MARGIN:g} points more members than under DP-SGD. "
    f"Substantially better: at least {100 * SUBSTANTIAL:g} points more accuracy. Reproduced if "
    "both hold against every ε beyond the 95 % t-intervals of the differences paired by seed; "
    "partly if some do and none is contradicted."
)
_SOURCE = "GNQ v1 (arXiv 2510.10902), censoring"
_COUNTED = {
    "members": "removed points counted as members",
    "kept": "removed points left out",
}


def claims(summary: Mapping[str, Any], fraction: float) -> list[Claim]:
    """Two claims for each data set."""
    return [
        _claim(name, of_dataset, fraction, counted)
        for name, of_dataset in summary.items()
        for counted in _COUNTED
    ]


def effects(of_dataset: Mapping[str, Any], fraction: float, counted: str) -> list[Interval]:
    """Privacy and accuracy against each ε, positive where the claim holds."""
    label, censored, baselines, attacked = _contestants(of_dataset, fraction, counted)
    found = []
    for name, baseline in baselines.items():
        privacy = differences(attacked[name], attacked[label])
        accuracy = differences(censored["test_accuracy"], baseline["test_accuracy"])
        found += [_shifted(privacy, MARGIN), _shifted(accuracy, -SUBSTANTIAL)]
    return found


def _claim(name: str, of_dataset: Mapping[str, Any], fraction: float, counted: str) -> Claim:
    label, censored, baselines, attacked = _contestants(of_dataset, fraction, counted)
    measured = [
        f"{label}: {percent(attacked[label], 2)} % found, "
        f"accuracy {percent(censored['test_accuracy'])} %"
    ]
    measured += [
        f"{other}: {percent(attacked[other], 2)} %, {percent(entry['test_accuracy'])} %"
        for other, entry in baselines.items()
    ]
    return Claim(
        f"censoring_{name}_{counted}",
        "Censoring has membership privacy comparable to DP-SGD at substantially better accuracy, "
        f"on {name}, {_COUNTED[counted]}",
        _SOURCE,
        "; ".join(measured),
        verdict(effects(of_dataset, fraction, counted)),
    )


def _contestants(of_dataset: Mapping[str, Any], fraction: float, counted: str):
    """Label and entry of censoring, entries of DP-SGD, and the TPR of all of them by label."""
    defenses = of_dataset["defenses"]
    ((label, censored),) = [
        (label, entry)
        for label, entry in find(defenses, "censor").items()
        if entry["strength"] == fraction
    ]
    baselines = find(defenses, "dp_sgd")
    attacks = (
        of_dataset["on_kept"][label]
        if counted == "kept"
        else {name: entry["attacks"] for name, entry in defenses.items()}
    )
    rates = {name: of_defense["best"]["tpr_at_1pct"] for name, of_defense in attacks.items()}
    return label, censored, baselines, rates


def _shifted(difference: Mapping[str, Any], shift: float) -> Interval:
    mean, low, high = interval(difference)
    return Interval(mean + shift, low + shift, high + shift)
