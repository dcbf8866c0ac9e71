"""What the study shows: tables and figures; their words are in `report.html.jinja`."""

from collections.abc import Sequence

from experiments.framework.results import Measured, Results
from experiments.jobs.who_pays.analysis import KINDS
from experiments.jobs.who_pays.groups import COMMON, RARE
from experiments.jobs.who_pays.measure import IMBALANCED, WHOLE, Plan, Runs
from experiments.report import figures, style
from experiments.report.formats import number, percent, plain
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate
from gujax.statistics import Interval

_TINTS = (style.VERMILION, style.GREY, "#E8B48F")  # of `KINDS`
_NOTHING = Interval(0.0, 0.0, 0.0)
_BY_GROUP = (
    ("accuracy", "Test accuracy (percent)", percent()),
    ("auc", "LiRA's AUC", number(3)),
    ("tpr_at_1pct", "LiRA's TPR at 1 % FPR (percent)", percent()),
    ("nats", "Mean accumulated nats of members", number(3)),
    ("over_representation", "Share in what is taken away over share in the members", number(2)),
)


def report(plan: Plan, done: Runs, results: Results) -> Report:
    """Tables, figures and their page."""
    groups = plan.groups[WHOLE]
    by_group = {
        f"{data}: {table.title}": table
        for (data,), of_data in results.groups("data")
        for table in _group_tables(of_data)
    }
    return Report(
        __file__,
        tables={"rare": _rare_table(results), "worst": _worst_table(results), **by_group},
        figures=_figures(results),
        terminal=("rare", "worst", "claims"),
        claims_note=_RULE,
        words={
            "options": plan.options,
            "task": plan.tasks[WHOLE],
            "book": plan.book,
            "rare": [groups.names[label] for label in groups.rare],
            "sizes": [
                round(results.get("training_examples", data=data, group=group).mean)
                for data, group in KINDS.values()
            ],
        },
    )


def _rare_table(results: Results) -> Table:
    columns = [
        Column("accuracy", "accuracy", percent()),
        Column("lost", "accuracy_lost", percent()),
        Column("AUC", "auc", number(3)),
        Column("TPR@1 %", "tpr_at_1pct", percent(2)),
        Column("taken", "over_representation", number(2)),
    ]
    rows = []
    for (label,), of_defense in results.groups("defense"):
        for index, (kind, (data, group)) in enumerate(KINDS.items()):
            row = of_defense.where(data=data, group=group)
            cells = [column.cell(row) for column in columns]
            rows.append(["" if index else label, kind, *cells])
    return Table(
        "Rare groups beside common ones, and beside themselves when they are not rare",
        ("defense", "groups", *(column.heading for column in columns)),
        rows,
        "Accuracy, accuracy lost against plain SGD and TPR at 1 % FPR in percent; AUC and TPR are "
        "LiRA's within the groups. Taken: share in what is taken away over share in the members.",
    )


def _worst_table(results: Results) -> Table:
    return tabulate(
        "Worst group of each seed (percent, but for AUC)",
        results,
        [
            KeyColumn("defense", "defense"),
            KeyColumn("data", "data"),
            Column("accuracy", "test_accuracy", percent()),
            Column("worst accuracy", "worst_accuracy", percent()),
            Column("worst AUC", "worst_auc", number(3)),
            Column("worst TPR@1 %", "worst_tpr_at_1pct", percent()),
        ],
        "Accuracy: over all test examples, and of the group with the least. AUC and TPR: of the "
        "group that LiRA does best on.",
    )


def _group_tables(of_data: Results) -> list[Table]:
    labels = of_data.values("defense")
    return [
        tabulate(
            title,
            of_data,
            [
                KeyColumn("group", "group"),
                Column("training examples", "training_examples", plain(".0f")),
                Column("test examples", "test_examples", plain(".0f")),
                *(
                    Column(label, measure, show, {"defense": label})
                    for label in labels
                    if of_data.find(measure, defense=label, group=RARE)
                ),
            ],
        )
        for measure, title, show in _BY_GROUP
    ]


def _figures(results: Results) -> dict[str, Picture]:
    labels = results.values("defense")

    def panel(title: str, measure: str, **options) -> figures.BarPanel:
        bars = []
        for tint, (kind, (data, group)) in zip(_TINTS, KINDS.items()):
            of_kind = results.where(data=data, group=group)
            found = [of_kind.find(measure, defense=label) for label in labels]
            bars.append(figures.Bars(kind, tint, [m.interval if m else _NOTHING for m in found]))
        return figures.BarPanel(title, "", bars, **options)

    panels = [
        [
            panel("Test accuracy", "accuracy", in_percent=True),
            panel("Accuracy lost against plain SGD", "accuracy_lost", in_percent=True),
        ],
        [
            panel("LiRA: AUC", "auc", reference=0.5),
            panel("LiRA: TPR at 1 % FPR", "tpr_at_1pct", in_percent=True, reference=0.01),
        ],
    ]
    drawn = {
        "rare_and_common": Picture(
            figures.bar_panels(panels, labels, share_y=False),
            "Accuracy, accuracy lost and LiRA's success on rare and common groups",
        )
    }
    groups = results.where(data=IMBALANCED).values("group")
    names = [name for name in groups if name not in (RARE, COMMON)]
    taken = [
        [_taken(label, of_defense, names)]
        for (label,), of_defense in results.groups("defense")
        if of_defense.find("over_representation", data=IMBALANCED, group=RARE)
    ]
    if taken:
        drawn["taken"] = Picture(
            figures.bar_panels(taken, names, "group"),
            "Over-representation of each group in what is taken away",
        )
    return drawn


def _taken(label: str, of_defense: Results, names: Sequence[str]) -> figures.BarPanel:
    def share(data: str, name: str) -> Measured:
        return of_defense.get("over_representation", data=data, group=name)

    bars = [
        figures.Bars(f"data {data}", tint, [share(data, name).interval for name in names])
        for data, tint in ((WHOLE, "#b4bac2"), (IMBALANCED, style.VERMILION))
    ]
    return figures.BarPanel(label, "times its share", bars, reference=1.0)


_RULE = (
    "Each claim is tested by two contrasts, paired by seed: rare groups against common ones in the "
    "imbalanced data (for what is taken away: against their share), and against themselves in the "
    "data as they are. Reproduced if all 95 % t-intervals lie above 0, partly if some do, "
    "contradicted if one lies below, not told apart if all include 0."
)
