"""What the study of auditors shows; its words are in `report.html.jinja`."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from experiments.framework.results import Results
from experiments.jobs.auditors.measure import Audited, Plan
from experiments.report import figures
from experiments.report.formats import number, percent, plain, significant
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate
from gujax.statistics import Interval

# Name of every auditor, what its number bounds, and how many models it trains.
_AUDITORS = {
    "accountant": (
        "accountant",
        "upper bound, proven: every example, every data set, every attacker who sees all updates",
        "none",
    ),
    "gnq_known_batches": (
        "GNQ, batches known",
        "upper estimate for this run (Gaussian approximation): the most exposed example, an "
        "attacker who sees all updates and knows which batches would hold it",
        "the run itself",
    ),
    "gnq": (
        "GNQ, most exposed example",
        "upper estimate for this run (Gaussian approximation, central limit theorem): an attacker "
        "who sees all updates but not the batches",
        "the run itself",
    ),
    "gnq_median": (
        "GNQ, median example",
        "the same for the median example: no bound for the others",
        "the run itself",
    ),
    "lira": (
        "LiRA on canaries",
        "lower bound at the stated confidence, if trials are independent: an attacker of the final "
        "model",
        "all of them",
    ),
    "one_run": (
        "one-run audit",
        "lower bound at the stated confidence: an attacker of the final model",
        "one",
    ),
    "one_run_fdp": (
        "one-run audit, Gaussian",
        "the same, if the mechanism is the Gaussian one",
        "one",
    ),
}
_NAMES = {key: auditor[0] for key, auditor in _AUDITORS.items()}
_NAMES["formula"] = "formula of GNQ's ε, nobody hides"
_DRAWN = {"gnq": True, "gnq_median": True, "lira": False, "one_run": False, "one_run_fdp": False}
_RULE = (
    "Every effect must be positive at every ε: reproduced if all 95 % t-intervals lie above 0, "
    "partly if some do, contradicted if one lies below 0, not told apart if all include 0."
)


def report(plan: Plan, audited: Mapping[float, Audited], results: Results) -> Report:
    """Tables, the figure and their page."""
    return Report(
        __file__,
        tables={
            "epsilons": _by_target(
                f"ε at δ = {plan.options.delta:g}",
                "epsilon",
                results,
                f"Lower bounds hold with {100 * (1 - plan.options.significance):g} % confidence "
                "each. Last row: the central limit theorem for subsampled Gaussian steps, for an "
                "example whose gradient always has the clipping norm and that no other example "
                "hides; its distance to the accountant is the error of that theorem.",
            ),
            "meaning": _meaning_table(results),
            "gaps": _by_target(
                "ε of the accountant minus that of the auditor", "below_accountant", results
            ),
            "runs": _runs_table(results),
        },
        figures={
            "epsilon_by_auditor": Picture(_figure(results), "ε by auditor for every guaranteed ε")
        },
        terminal=("epsilons", "meaning", "claims"),
        claims_note=_RULE,
        words={"options": plan.options, "task": plan.task, "recipes": plan.recipes},
    )


def _by_target(title: str, measure: str, results: Results, note: str = "") -> Table:
    """One measure by auditor and target ε."""
    columns = [
        Column(f"target ε = {target:g}", measure, number(2), {"target": target})
        for target in results.values("target")
    ]
    auditor = KeyColumn("auditor", "auditor", _NAMES.__getitem__)
    return tabulate(title, results, [auditor, *columns], note)


def _meaning_table(results: Results) -> Table:
    """What the numbers bound, and run times."""
    rows = []
    for name, auditor in _AUDITORS.items():
        seconds = [spent.mean for spent in _at_targets(results, "seconds", name)]
        shown = dict.fromkeys(significant(value, 2) for value in (min(seconds), max(seconds)))
        rows.append([*auditor, "–".join(shown)])
    return Table(
        "What each auditor's ε bounds",
        ("auditor", "its number is a", "models to train", "seconds"),
        rows,
        "Seconds: median over seeds, over the values of ε; compiling is in the first seed. GNQ: "
        "training one model with the audit. One-run: a model's share of training all of them at "
        "once. Accountant: finding the noise for a target and the ε that it spends.",
    )


def _runs_table(results: Results) -> Table:
    """Noise and utility of the runs, and the attack on canaries."""
    return tabulate(
        "DP-SGD, and LiRA on the canaries",
        results,
        [
            KeyColumn("target ε", "target", lambda target: f"{target:g}"),
            Column("noise multiplier", "noise_multiplier", plain(".3f")),
            Column("sampling rate", "sampling_rate", plain(".4f")),
            Column("steps", "steps", plain(".0f")),
            Column("test accuracy (%)", "test_accuracy", percent()),
            Column("LiRA AUC", "canary_auc", number(3)),
            Column("LiRA TPR at 1 % FPR (%)", "canary_tpr_at_1pct", percent(2)),
            Column("examples cut from batches", "overflow", plain(".0f")),
        ],
    )


def _at_targets(results: Results, measure: str, auditor: str) -> list[Interval]:
    """What was measured of one auditor at every target ε."""
    return results.along("target", measure, auditor=auditor)[1]


def _figure(results: Results) -> Figure:
    return figures.epsilon_bounds(
        [guaranteed.mean for guaranteed in _at_targets(results, "epsilon", "accountant")],
        {
            _NAMES[name]: (upper, _at_targets(results, "epsilon", name))
            for name, upper in _DRAWN.items()
        },
    )
