"""What all jobs share: the directory that a run is written to, and what it must hold."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol

from experiments.framework.errors import as_user_error
from experiments.framework.run_directory import RunDirectory, default_path
from gujax.training import checkpointing

# A job puts the few numbers by which its runs are compared, as sweeps do, under this key of
# `summary.json`: names to numbers, or to their "mean", "low" and "high".
HEADLINE = "headline"


class JobOptions(Protocol):
    """Options of a job that writes a run directory: a dataclass with at least these fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def out(self) -> Path | None:
        """The run directory; None for a default."""

    @property
    def overwrite(self) -> bool:
        """Whether to replace a completed run there."""


@contextmanager
def run_directory(job: str, options: JobOptions) -> Iterator[RunDirectory]:
    """The directory of one run, made ready to write to before anything long begins.

    Trainings inside the ``with`` block keep checkpoints beside it. A run with the same options and
    `out` that was interrupted goes on from there.

    Args:
        job: Name of the job; written to `config.json`, so that results can be found again.
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
