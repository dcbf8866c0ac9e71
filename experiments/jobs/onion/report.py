"""What the onion shows: tables and figures; their words are in `report.html.jinja`."""

from itertools import product

from experiments.framework.results import Measured, Results
from experiments.jobs.onion.measure import Plan
from experiments.jobs.onion.rounds import Peeled
from experiments.membership.analysis import NUM_BINS
from experiments.report import figures, style
from experiments.report.formats import Format, number, percent, plain
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, Columns, KeyColumn, Table, tabulate

_FROM = {"model": "each training set", "data": "the pool"}
_ARMS = {
    "nothing": ("nothing removed", style.BLACK),
    "nats": ("most disclosed removed", style.VERMILION),
    "chance": ("as many removed at random", style.BLUE),
}
_LIRA: tuple[tuple[str, str, Format], ...] = (
    ("auc", "AUC", number(3)),
    ("tpr_at_1pct", "TPR", percent(2)),
)
_PLACE: Columns = [
    KeyColumn("removed from", "scope", _FROM.__getitem__),
    KeyColumn("round", "round"),
]
_ROUND: Columns = [*_PLACE, Column("removed (%)", "removed_share", plain(".1f", 100))]
_BINS = "decile of the nats in the models audited first"


def report(plan: Plan, peeled: Peeled, results: Results) -> Report:
    """Tables, figures and their page."""
    return Report(
        __file__,
        tables={
            "auc": _survivors_table(results, "auc", "AUC", number(3)),
            "tpr": _survivors_table(results, "tpr_at_1pct", "TPR at 1 % FPR (percent)", percent(2)),
            "uniqueness": _uniqueness_table(results),
            "counting": _counting_table(results),
            "selection": _selection_table(results),
            "accuracy": _accuracy_table(results),
        },
        figures=_figures(results),
        terminal=("auc", "tpr", "claims"),
        claims_note=_RULE,
        words={"options": plan.options, "task": plan.task, "recipe": plan.recipe},
    )


def _survivors_table(results: Results, measure: str, name: str, show: Format) -> Table:

    def lira(row: Results, arm: str) -> Measured:
        return row.get(measure, pairs="survivors", arm=arm)

    def rise(arm: str, over: str):
        return lambda row: lira(row, arm) - lira(row, over)

    return tabulate(
        f"LiRA on those who stay in both arms: {name}",
        results,
        [
            *_ROUND,
            Column("before", lambda row: lira(row, "nothing"), show),
            Column("after: by nats", lambda row: lira(row, "nats"), show),
            Column("after: random", lambda row: lira(row, "chance"), show),
            Column("rise by nats", rise("nats", "nothing"), show),
            Column("rise by random", rise("chance", "nothing"), show),
            Column("nats over random", rise("nats", "chance"), show),
        ],
        "Positive rises: those who stay are more exposed than before. Positive last column: more "
        "than if as many others had been removed at random.",
    )


def _counting_table(results: Results) -> Table:
    arms = (("by nats", "nats"), ("random", "chance"))
    kinds = (("members", "all"), ("left out", "left out"))
    return tabulate(
        "LiRA with removed examples as members, and without them (AUC; TPR at 1 % FPR, percent)",
        results,
        [
            *_ROUND,
            *(
                Column(f"{name}, {arm}: {kind}", measure, show, {"pairs": pairs, "arm": key})
                for (measure, name, show), (arm, key), (kind, pairs) in product(_LIRA, arms, kinds)
            ),
        ],
    )


def _selection_table(results: Results) -> Table:
    models = (("audited models", "audited"), ("trained afresh", "nothing"))
    return tabulate(
        "LiRA on those who stay, before anything is removed (AUC; TPR at 1 % FPR, percent)",
        results,
        [
            *_ROUND,
            *(
                Column(f"{name}, {which}", measure, show, {"pairs": "survivors", "arm": arm})
                for (measure, name, show), (which, arm) in product(_LIRA, models)
            ),
        ],
    )


def _uniqueness_table(results: Results) -> Table:
    return tabulate(
        "Nats of those who stay: in the models audited first, and after removal",
        results,
        [
            *_PLACE,
            KeyColumn("trained after", "arm", lambda arm: _ARMS.get(arm, ("",))[0]),
            Column("mean nats first", "mean_nats_before", number(3)),
            Column("mean nats now", "mean_nats", number(3)),
            Column("Spearman of both", "spearman", number(2)),
            Column("new among the top (%)", "new_in_top", percent()),
        ],
        "New among the top: share of those with most nats now (as many as a round removes) who "
        "were not among those with most nats first. Removing from each training set: within each "
        "training set, averaged over models; from the pool: of the mean nats over models.",
    )


def _accuracy_table(results: Results) -> Table:
    plain_sgd = results.get("test_accuracy", arm="nothing")
    return tabulate(
        "Test accuracy (percent)",
        results,
        [
            *_ROUND,
            Column("nothing removed", lambda row: plain_sgd, percent()),
            Column("by nats", "test_accuracy", percent(), {"arm": "nats"}),
            Column("random", "test_accuracy", percent(), {"arm": "chance"}),
        ],
    )


def _figures(results: Results) -> dict[str, Picture]:
    by_round, by_decile, origins = [], [], []
    for (scope,), of_scope in results.groups("scope"):
        title = f"removed from {_FROM[scope]}"
        last = of_scope.where(round=of_scope.values("round")[-1])
        by_round.append(
            [
                figures.LinePanel(
                    title,
                    _lines(of_scope, "round", measure, pairs="survivors"),
                    f"LiRA: {label}",
                    in_percent=measure != "auc",
                )
                for measure, label in (("auc", "AUC"), ("tpr_at_1pct", "TPR at 1 % FPR"))
            ]
        )
        of_decile = _lines(last, "decile", "lira_auc")
        by_decile.append(figures.LinePanel(title, of_decile, "LiRA: AUC"))
        bars = [
            figures.Bars(label, tint, last.along("decile", "top_share", arm=arm)[1])
            for arm, (label, tint) in _ARMS.items()
        ]
        origins.append(figures.BarPanel(title, "share of those with most nats now", bars, True))
    names = [str(decile) for decile in range(1, NUM_BINS + 1)]
    return {
        "rounds": Picture(
            figures.line_panels(by_round, "rounds of removal"),
            "AUC and TPR of LiRA on those who stay, by round",
        ),
        "deciles": Picture(
            figures.line_panels([by_decile], _BINS),
            "AUC of LiRA by decile of the nats before removal",
        ),
        "origin": Picture(
            figures.bar_panels([origins], names, _BINS),
            "Where the examples with most nats after the last round come from",
        ),
    }


def _lines(results: Results, over: str, measure: str, **keys: str) -> list[figures.Series]:
    """A line for each arm; dashed where nothing was removed."""
    return [
        figures.Series(
            label,
            *results.along(over, measure, **keys, arm=arm),
            tint,
            "--o" if arm == "nothing" else "-o",
        )
        for arm, (label, tint) in _ARMS.items()
    ]


_RULE = (
    "After the last round. Verdicts follow from 95 % t-intervals of differences paired by seed. "
    "Others become vulnerable: AUC and TPR above before, and above random removal. Others become "
    "the most unique: more new ones at the top than with nothing removed, and than after random "
    "removal. Those who stay are protected: AUC and TPR below before, and below random removal. "
    "Reproduced if all intervals lie on the claim's side of 0, partly if some do, contradicted if "
    "one lies on the other side, not told apart if all include 0."
)
