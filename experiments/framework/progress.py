"""Progress that reads well in a terminal and in a log file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Steps:
    """Counts named steps of a job; made by `progress`."""

    def __init__(self, console: Console, total: int, bar: Progress | None):
        self._console = console
        self._total = total
        self._bar = bar
        self._task = bar.add_task("starting", total=total) if bar else None
        self._done = 0
        self._start = time.monotonic()

    @contextmanager
    def set_aside(self) -> Iterator[Console]:
        """Leaves the terminal to another live display while the block runs."""
        if self._bar is not None:
            self._bar.stop()
        yield self._console
        if self._bar is not None:
            self._bar.start()

    @contextmanager
    def step(self, description: str) -> Iterator[None]:
        """Shows `description` while the block runs and counts it when it ends."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=description)
        yield
        self._done += 1
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)
        else:
            seconds = time.monotonic() - self._start
            self._console.print(f"[{self._done}/{self._total}] {description} ({seconds:.0f} s)")


@contextmanager
def progress(console: Console, total: int) -> Iterator[Steps]:
    """A bar over `total` steps; one line per finished step where output is not a terminal.

    Args:
        console: Where to draw.
        total: Number of steps that will be taken.
    """
    if not console.is_terminal:
        yield Steps(console, total, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield Steps(console, total, bar)
