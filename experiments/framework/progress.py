"""Progress that reads well in a terminal and in a log file, and outlives an interruption."""

import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

Found = TypeVar("Found")


class Steps:
    """Counts named steps of a job; made by `progress`."""

    def __init__(self, total: int, bar: Progress, kept: Path):
        self._total = total
        self._bar = bar
        self._kept = kept
        self._task = bar.add_task("starting", total=total)
        self._done = 0
        self._start = time.monotonic()

    @contextmanager
    def set_aside(self) -> Iterator[Console]:
        """Leaves the terminal to another live display while the block runs."""
        self._bar.stop()
        yield self._bar.console
        self._bar.start()

    def within(self, done: int, total: int) -> None:
        """Tells how far the step is that is under way; a line where output is not a terminal."""
        if self._bar.disable:
            seconds = time.monotonic() - self._start
            self._bar.console.print(f"  {done} of {total} ({seconds:.0f} s)", highlight=False)
        else:
            self._bar.update(self._task, completed=self._done + done / total)

    @contextmanager
    def step(self, description: str) -> Iterator[None]:
        """Shows `description` while the block runs and counts it when it ends."""
        self._bar.update(self._task, description=description)
        yield
        self._done += 1
        self._bar.update(self._task, completed=self._done)
        if self._bar.disable:
            seconds = time.monotonic() - self._start
            self._bar.console.print(f"[{self._done}/{self._total}] {description} ({seconds:.0f} s)")

    def result(self, description: str, compute: Callable[[], Found]) -> Found:
        """A step with what it computes; one that an interrupted run completed is read instead.

        Args:
            compute: Gives arrays on the host, or trees of them: what can be pickled.
        """
        file = self._kept / f"step {self._done}.pickle"
        with self.step(description):
            if file.exists():
                return pickle.loads(file.read_bytes())
            found = compute()
            self._kept.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".partial")
            partial.write_bytes(pickle.dumps(found))
            partial.rename(file)  # under its name only when it is complete
            return found


@contextmanager
def progress(console: Console, total: int, kept: Path) -> Iterator[Steps]:
    """A bar over `total` steps; one line per finished step where output is not a terminal.

    Args:
        kept: Folder of the results of steps, among the checkpoints of the run.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with live_bar(console, *columns) as bar:
        yield Steps(total, bar, kept)


def live_bar(console: Console, *columns: ProgressColumn) -> Progress:
    """A bar that vanishes in the end; it is disabled where output is not a terminal."""
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
