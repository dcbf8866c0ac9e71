"""The list of claims as tables; its words are in `report.html.jinja`."""

from experiments.framework.results import Results
from experiments.jobs.claims.measure import Plan
from experiments.report.formats import plain
from experiments.report.page import Report
from experiments.report.tables import Column, Columns, KeyColumn, Table, tabulate


def report(plan: Plan, data: None, results: Results) -> Report:
    """Counts of verdicts, and every claim."""
    counts: Columns = [KeyColumn("verdict", "verdict"), Column("claims", "claims", plain(".0f"))]
    rows = [
        [c.statement, c.source, one.setting, c.measured, c.verdict]
        for one in plan.tested
        for c in [one.claim]
    ]
    return Report(
        __file__,
        tables={
            "list": Table(
                "Claims of the papers, and what the latest runs say",
                ("claim", "source", "run", "measured", "verdict"),
                rows,
                "Intervals are 95 % t-intervals over seeds. Of the claim's effects, positive where "
                "it holds: reproduced if every interval lies above zero, partly if some do, "
                "contradicted if one lies below, not told apart if all include zero.",
            ),
            "counts": tabulate("Verdicts", results, counts),
        },
        terminal=("list", "counts"),
        words={
            "runs": sorted({one.name for one in plan.tested if one.run}),
            "left_out": plan.left_out,
        },
    )
