"""What the benchmark shows of assessments; its words are in `assessment.html.jinja`."""

from collections.abc import Iterator

from experiments.framework.results import Results
from experiments.jobs.benchmark.assessment import LARGE, SMALL, SUBSET, Measured, Plan, label
from experiments.jobs.benchmark.targets import Target, targets_table
from experiments.report.formats import plain
from experiments.report.page import Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate

_WORK = {
    "trainings": "training of the model and its rerun",
    "first": "assessment, compiling included",
    "again": "assessment again",
}
_MINUTES, _GIB, _AGREEMENT = 10, 4, 0.95


def report(plan: Plan, measured: list[Measured], results: Results) -> Report:
    """Tables and their page."""
    tables = {"times": _times_table(results), "cases": _cases_table(results)}
    if not plan.options.smoke:
        tables["targets"] = targets_table(list(_targets(results)))
    return Report(
        __file__,
        tables=tables,
        template="assessment.html.jinja",
        terminal=tuple(tables),
        words={"smoke": plan.options.smoke},
    )


def _times_table(results: Results) -> Table:
    return tabulate(
        "Seconds",
        results,
        [
            KeyColumn("case", "case"),
            KeyColumn("what", "work", _WORK.__getitem__),
            Column("of the clock", "clock", plain(".1f")),
            Column("of the processors", "processor", plain(".1f")),
        ],
        "Each once. Both trainings are one program, compiled once, in the time of both.",
    )


def _cases_table(results: Results) -> Table:
    return tabulate(
        "What was assessed",
        results,
        [
            KeyColumn("case", "case"),
            Column("members", "members", plain(",.0f")),
            Column("held out", "held_out", plain(",.0f")),
            Column("numbers in a sketch", "sketch", plain(".0f")),
            Column("effective dimensions", "dimension", plain(".0f")),
            Column("Spearman with exact", "agreement", plain(".4f")),
            Column("predicted AUC", "predicted_auc", plain(".3f")),
            Column("GiB", "memory", plain(".2f")),
        ],
        f"Spearman of self-influences on {SUBSET:,} examples. Memory is the most that the process "
        "has held: data, training and all cases before included.",
    )


def _targets(results: Results) -> Iterator[Target]:
    small, large = label(SMALL), label(LARGE)
    share = "processor time of the assessment over that of both trainings"
    limits: tuple[tuple[str, str, str, dict[str, str], float], ...] = (
        (share, small, "share", {}, 1),
        ("seconds of the clock", large, "clock", {"work": "first"}, 60 * _MINUTES),
        ("GiB", large, "memory", {}, _GIB),
        ("Spearman of sketches with exact", large, "agreement", {}, _AGREEMENT),
    )
    for what, case, measure, keys, limit in limits:
        if (found := results.find(measure, case=case, **keys)) is not None:
            yield Target(what, case, limit, found.mean, at_least=measure == "agreement")
