"""Reads the claims of completed runs, and writes them into documents."""

from dataclasses import dataclass

import polars as pl

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.claims import document
from experiments.jobs.claims.collect import Run, Tested, collect, runs_in
from experiments.jobs.claims.literature import OUT_OF_REACH
from experiments.jobs.claims.options import Options
from experiments.jobs.claims.records import read_records, write_records


@dataclass(frozen=True)
class Plan:
    """What was found.

    Attributes:
        options: Of the job.
        tested: Every claim by the latest run that tested it, and those that no job can test.
        runs: Completed runs, oldest first, whether they test claims or not.
        left_out: Runs of earlier versions, each with the reason.
    """

    options: Options
    tested: list[Tested]
    runs: list[Run]
    left_out: list[str]

    @property
    def num_steps(self) -> int:
        """Writing the documents."""
        return 1


def prepare(options: Options) -> Plan:
    """Finds what completed runs say."""
    if options.update is not None:
        document.check_markers(options.update)
    runs, left_out = runs_in(options.runs)
    if options.docs is not None:
        runs = sorted(read_records(options.docs) + runs, key=lambda run: run.time)
    tested = collect(runs) + [Tested(claim) for claim in OUT_OF_REACH]
    tested.sort(key=lambda one: (one.claim.source, one.claim.statement, one.setting))
    return Plan(options, tested, runs, left_out)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> None:
    """Writes the list of verdicts into the run directory and the documents."""
    with steps.step("documents"):
        listed = document.listed(plan.tested)
        directory.file("claims.md").write_text(listed)
        if plan.options.update is not None:
            document.update(plan.options.update, listed)
        if plan.options.docs is not None:
            write_records(plan.options.docs, plan.tested, plan.runs)
            document.write_pages(plan.options.docs, plan.tested, plan.runs)


def frames(plan: Plan, data: None) -> dict[str, pl.DataFrame]:
    """Every claim with its measurement and verdict."""
    rows = [
        {
            "key": one.claim.key,
            "claim": one.claim.statement,
            "source": one.claim.source,
            "run": one.name,
            "setting": one.setting,
            "measured": one.claim.measured,
            "verdict": one.claim.verdict,
        }
        for one in plan.tested
    ]
    return {"claims": pl.DataFrame(rows, infer_schema_length=None)}
