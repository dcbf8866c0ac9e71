"""What the study of censoring shows: tables and a figure; words are in `report.html.jinja`."""

from experiments.framework.results import Results
from experiments.jobs.censoring.claims import RULE
from experiments.jobs.censoring.measure import Plan, Runs
from experiments.membership.analysis import RATES, STRONGEST
from experiments.membership.attacks import ATTACKS
from experiments.membership.tables import canaries_table, of_removing, privacy_table, recipes_table
from experiments.report import figures
from experiments.report.formats import number, percent
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, Columns, KeyColumn, Table, tabulate

_BEST = {"attack": "best"}
_RATE_NAMES = {"tpr_at_1pct": "1 %", "tpr_at_01pct": "0.1 %"}
_DATA = KeyColumn("data", "dataset")
_ROW: Columns = [_DATA, KeyColumn("defense", "defense")]


def report(plan: Plan, runs: Runs, results: Results) -> Report:
    """Tables, figure and their page."""
    tables = {"main": _main_table(results), "kept": _kept_table(results)}
    tables["canaries"] = canaries_table(results, _DATA)
    for name, of_dataset in runs.items():
        tables[f"privacy {name}"] = privacy_table(results.where(dataset=name), f"{name}: ")
        tables[f"recipes {name}"] = recipes_table(of_dataset, f"{name}: ")
    return Report(
        __file__,
        tables=tables,
        figures={
            "tradeoffs": Picture(
                figures.tradeoffs(plan.options.chosen_and_plain, _panels(plan, results)),
                "Test accuracy against members found, one column of panels per data set",
            )
        },
        terminal=("main", "claims"),
        claims_note=RULE,
        words={"options": plan.options, "cases": plan.cases, "books": plan.books},
    )


def _main_table(results: Results) -> Table:
    return tabulate(
        "Accuracy, and members found at 1 % and 0.1 % false positives (percent)",
        results,
        [
            *_ROW,
            Column("accuracy", "test_accuracy", percent()),
            *(
                Column(
                    f"{ATTACKS.get(attack, attack)} {level}", rate, percent(2), {"attack": attack}
                )
                for attack in (*STRONGEST, "best")
                for rate, level in _RATE_NAMES.items()
            ),
            Column("LiRA AUC", "auc", number(3), {"attack": "lira"}),
        ],
        "Mean ± 95 % t-interval over seeds. Best: the attack that is best on the other "
        "seeds. Guessing finds 1 % and 0.1 %. Removed points count as members.",
    )


def _kept_table(results: Results) -> Table:
    others = [label for label in results.values("kept") if label != "own"]
    columns = {
        "counted as members": {},
        "left out": {"kept": "own"},
        **{f"{label}, same": {"kept": label} for label in others},
    }
    return tabulate(
        "Members found at 1 % false positives by the best attack (percent)",
        of_removing(results),
        [
            *_ROW,
            *(
                Column(heading, "tpr_at_1pct", percent(2), {**_BEST, **kept})
                for heading, kept in columns.items()
            ),
        ],
        "Last columns: the attack on models of other defenses, on the same pairs as in 'left out'.",
    )


def _panels(plan: Plan, results: Results) -> list[list[figures.TradeoffPanel]]:
    labels = [defense.label for defense in plan.options.chosen_and_plain]
    return [
        [
            figures.TradeoffPanel(
                name,
                [of_dataset.get("test_accuracy", defense=d).interval for d in labels],
                [of_dataset.get(rate, defense=d, **_BEST).interval for d in labels],
                level,
            )
            for (name,), of_dataset in results.groups("dataset")
        ]
        for rate, level in RATES.items()
    ]
