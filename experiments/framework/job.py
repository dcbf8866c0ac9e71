"""What all jobs share: checks first, then a run directory, progress, results, claims, a report.

A job is a package of `experiments.jobs` with `Options` and `run`. Most are frames that are filled:

    run = Job("onion", prepare, measure, frames, analyze, report, claims).run
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import polars as pl
from rich.console import Console

from experiments.framework.claims import Claim, write_claims
from experiments.framework.errors import as_user_error
from experiments.framework.options import RunOptions
from experiments.framework.progress import Steps, progress
from experiments.framework.results import Entry, Results
from experiments.framework.run_directory import RunDirectory, default_path
from gujax.training import checkpointing

# A job puts the few numbers by which its runs are compared, as sweeps do, under this key of
# `summary.json`: names to numbers, or to their "mean", "low" and "high".
HEADLINE = "headline"
RESULTS_FILE = "results.parquet"


class Shown(Protocol):
    """What a job shows of its results; `experiments.report.page.Report` is one.

    It is a dataclass. Where the job tests claims it has a field for them.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def file(self) -> str:
        """Name of the page in the run directory."""

    @property
    def name(self) -> str:
        """What the terminal calls it."""

    def write(self, directory: RunDirectory) -> None:
        """Writes page and figures."""

    def show(self, console: Console) -> None:
        """Prints what the terminal shows."""


class PlanLike(Protocol):
    """What was decided before anything is computed."""

    @property
    def num_steps(self) -> int:
        """How many steps of progress the measurement takes."""


Plan = TypeVar("Plan", bound=PlanLike)
Data = TypeVar("Data")


@dataclass(frozen=True)
class Job(Generic[Plan, Data]):
    """A job as the functions that differ between jobs.

    Attributes:
        prepare: From options to a plan: loads, builds and checks. Raises `UserError`; nothing has
            been written yet.
        measure: The long part. It is given the plan, the run directory and the progress, of which
            it takes `plan.num_steps` steps.
        frames: Further tables of the run, by file name without ".parquet"; None if there are none.
        analyze: The entries of the results.
        claims: The claims that the results test; none if None.
        headline: The few numbers by which runs are compared; all if None.
        exit_code: Of the results; 0 if None.
    """

    name: str
    prepare: Callable[[Any], Plan]
    measure: Callable[[Plan, RunDirectory, Steps], Data]
    frames: Callable[[Plan, Data], Mapping[str, pl.DataFrame]] | None
    analyze: Callable[[Plan, Data], Iterable[Entry]]
    report: Callable[[Plan, Data, Results], Shown]
    claims: Callable[[Plan, Results], Iterable[Claim]] | None = None
    headline: Callable[[Results], Mapping[str, Any]] | None = None
    exit_code: Callable[[Plan, Results], int] | None = None

    def run(self, options: RunOptions) -> int:
        """Runs the job; returns the exit code.

        Raises:
            UserError: Something is wrong with the options, or with the place of the run.
        """
        console = Console()
        plan = self.prepare(options)
        total = plan.num_steps + 1
        with (
            run_directory(self.name, options) as directory,
            progress(console, total, directory.checkpoints) as steps,
        ):
            data = self.measure(plan, directory, steps)
            with steps.step("tables and figures"):
                results = Results(self.analyze(plan, data))
                claims = list(self.claims(plan, results)) if self.claims else []
                results.frame().write_parquet(directory.file(RESULTS_FILE))
                compared = {HEADLINE: self.headline(results)} if self.headline else {}
                directory.write_json("summary.json", {**compared, **results.summary()})
                if claims:
                    write_claims(directory, claims)
                frames = self.frames(plan, data) if self.frames else {}
                for name, frame in frames.items():
                    frame.write_parquet(directory.file(f"{name}.parquet"))
                shown = self.report(plan, data, results)
                if claims:
                    shown = dataclasses.replace(shown, claims=claims)
                shown.write(directory)
        shown.show(console)
        console.print(f"{shown.name}: {directory.path / shown.file}", soft_wrap=True)
        return self.exit_code(plan, results) if self.exit_code else 0


@contextmanager
def run_directory(job: str, options: RunOptions) -> Iterator[RunDirectory]:
    """The directory of one run, made ready to write to before anything long begins.

    Trainings inside the ``with`` block keep checkpoints beside it. A run with the same options and
    `out` that was interrupted goes on from there.

    Args:
        options: Its options; `out` is the directory, or None for `runs/<job>-<time>`.

    Raises:
        UserError: The directory holds something else already, or cannot be written to.
    """
    config = {"job": job, **dataclasses.asdict(options)}
    directory = RunDirectory(options.out or default_path(job), config, options.overwrite)
    with as_user_error(OSError):
        directory.create()
    with checkpointing(directory.checkpoints), directory:
        yield directory
