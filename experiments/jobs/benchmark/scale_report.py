"""What the benchmark shows of large models; its words are in `scale.html.jinja`."""

from collections.abc import Sequence
from pathlib import Path

from experiments.framework.claims import Claim
from experiments.framework.results import Results
from experiments.jobs.benchmark import scale
from experiments.report.formats import plain
from experiments.report.page import Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate


def report(
    plan: scale.Plan, predicted: scale.Predicted, results: Results, claims: Sequence[Claim]
) -> Report:
    """The table and its page."""
    return Report(
        Path(__file__).with_name("scale.html.jinja"),
        tables={"scale": _table(results)},
        terminal=("scale",),
        words={"smoke": plan.options.smoke, "scale": scale},
    )


def _table(results: Results) -> Table:
    return tabulate(
        "Predicted, not measured: a step on H100",
        results,
        [
            KeyColumn("model", "model"),
            KeyColumn("tokens", "tokens", "{:,}".format),
            KeyColumn("devices", "devices"),
            Column("plain step (s)", "seconds", plain(".3g"), {"step": "plain"}),
            Column("audited step (s)", "seconds", plain(".3g"), {"step": "audited"}),
            Column("ratio", "ratio", plain(".2f")),
            Column("plain (GB)", "memory", plain(".0f"), {"step": "plain"}),
            Column("audited (GB)", "memory", plain(".0f"), {"step": "audited"}),
            Column("fits", "fits", lambda fits: "yes" if fits.mean else "no"),
        ],
        f"{scale.TEXTS} texts of so many tokens per step, over all devices; memory is of one of "
        f"them. Fits: the audited step keeps to {scale.MEMORY / 1e9:.0f} GB.",
    )
