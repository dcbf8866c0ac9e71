"""What the study says about censoring against DP-SGD; the rule was fixed before the first run.

The claim (GNQ v1): censoring has membership privacy *comparable* to DP-SGD at *substantially*
better accuracy. It is tested on every data set, for one fraction named beforehand and each ε:

- comparable: at 1 % false positives, the best of all attacks finds at most `MARGIN` more
  members under censoring than under DP-SGD. Effect: TPR under DP-SGD + margin − TPR under
  censoring.
- substantially better: at least `SUBSTANTIAL` more test accuracy. Effect: accuracy under censoring
  − accuracy under DP-SGD − that much.

Differences are paired by seed; the verdict follows from the effects' 95 % t-intervals
(`experiments.framework.claims.verdict`): reproduced if all lie above 0. The claim is tested twice:
with removed points as members, and with the removed pairs of model and example left out, for
DP-SGD as for censoring.
"""

from collections.abc import Sequence

from experiments.framework.claims import Claim, above, test
from experiments.framework.results import Measured, Results
from experiments.jobs.censoring.measure import Plan
from experiments.membership.margins import MARGIN, SUBSTANTIAL
from experiments.report.formats import percent

RULE = (
    "The rule was fixed before the first run. Comparable: at 1 % false positives the best of all "
    f"attacks finds at most {100 * MARGIN:g} points more members than under DP-SGD. "
    f"Substantially better: at least {100 * SUBSTANTIAL:g} points more accuracy. Reproduced if "
    "both hold against every ε beyond the 95 % t-intervals of the differences paired by seed; "
    "partly if some do and none is contradicted; contradicted if an interval lies beyond the limit "
    "on the other side; not told apart if all include it."
)
_SOURCE = "GNQ v1 (arXiv 2510.10902), censoring"
_COUNTED = {"members": "removed points counted as members", "kept": "removed points left out"}


def claims(plan: Plan, results: Results) -> list[Claim]:
    """Two claims for each data set."""
    options = plan.options
    (censored,) = (d for d in options.of("censor") if d.strength == options.tested_fraction)
    baselines = [defense.label for defense in options.of("dp_sgd")]
    return [
        claim(name, of_dataset, censored.label, baselines, counted)
        for (name,), of_dataset in results.groups("dataset")
        for counted in _COUNTED
    ]


def claim(
    name: str, of_dataset: Results, censored: str, baselines: Sequence[str], counted: str
) -> Claim:
    """The claim on one data set: its effects are privacy and accuracy against each ε.

    Defenses are given by label; removed points are counted as "members", or only those "kept" are.
    """

    def rate(label: str) -> Measured:
        keys = {"defense": label}
        if counted == "kept":
            keys = {"defense": censored, "kept": "own" if label == censored else label}
        return of_dataset.get("tpr_at_1pct", attack="best", **keys)

    labels = (censored, *baselines)
    rates = {label: rate(label) for label in labels}
    accuracy = {label: of_dataset.get("test_accuracy", defense=label) for label in labels}
    found, right = percent(2), percent()
    measured = [f"{censored}: {found(rates[censored])} % found, "]
    measured[0] += f"accuracy {right(accuracy[censored])} %"
    measured += [f"{one}: {found(rates[one])} %, {right(accuracy[one])} %" for one in baselines]
    return test(
        f"censoring_{name}_{counted}",
        "Censoring has membership privacy comparable to DP-SGD at substantially better accuracy, "
        f"on {name}, {_COUNTED[counted]}",
        _SOURCE,
        "; ".join(measured),
        [
            effect
            for one in baselines
            for effect in (
                above(rates[one] - rates[censored], -MARGIN),
                above(accuracy[censored] - accuracy[one], SUBSTANTIAL),
            )
        ],
    )
