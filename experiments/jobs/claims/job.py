"""Job `claims`: every claim of the papers, with what the latest runs say of it."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from experiments.framework.job import run_directory
from experiments.jobs.claims import document
from experiments.jobs.claims.collect import collect
from experiments.jobs.claims.literature import OUT_OF_REACH
from experiments.report import html
from experiments.report.tables import to_markdown, to_terminal


@dataclass(frozen=True)
class Options:
    """Gather the claims that runs tested into one table of verdicts.

    Of every job, data set and model the latest completed run that tested a claim counts. Claims
    that no job can test on one machine are listed with the reason.

    Attributes:
        runs: Folders to search, at any depth, for run directories.
        update: Markdown file in which to replace what stands between `<!-- claims -->` and
            `<!-- /claims -->` by the table; default: none.
        out: Run directory; default: runs/claims-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    runs: tuple[Path, ...] = (Path("runs"),)
    update: Path | None = None
    out: Path | None = None
    overwrite: bool = False


def run(options: Options) -> int:
    """Gathers the table; returns the exit code."""
    if options.update is not None:
        document.check_markers(options.update)
    tested = collect(options.runs)
    console = Console()
    with run_directory("claims", options) as directory:
        table = document.table(tested, OUT_OF_REACH)
        counts = document.counts(table)
        directory.write_json("summary.json", [dataclasses.asdict(entry) for entry in tested])
        directory.file("claims.md").write_text(to_markdown(table) + "\n")
        directory.file("report.html").write_text(
            html.page(
                "What the papers claim, and what we measured",
                f"{len({entry.run for entry in tested})} runs; the latest of every job, data set "
                "and model counts.",
                [
                    html.section("Verdicts", html.table(counts)),
                    html.section("Claims", html.table(table)),
                    html.section("Runs", html.bullets(sorted({e.run for e in tested}))),
                ],
            )
        )
    if options.update is not None:
        document.update(options.update, table)
    for shown in (table, counts):
        console.print(to_terminal(shown))
    console.print(f"report: {directory.path / 'report.html'}", soft_wrap=True)
    return 0
