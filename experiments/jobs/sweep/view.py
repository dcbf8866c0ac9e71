"""Live progress of a sweep, in a terminal and in a log file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from experiments.framework.progress import live_bar
from experiments.framework.trial import Outcome, Tick


class View:
    """Counts trials, and keeps the failures so far; made by `view`."""

    def __init__(self, total: int, skipped: int, names: tuple[str, ...], bar: Progress):
        self.failed: list[Outcome] = []
        self._total = total
        self._skipped = skipped
        self._names = names
        self._done = 0
        self._bar = bar
        self._task = bar.add_task("", total=total, completed=skipped)
        self._start = self._last = time.monotonic()

    def show(self, tick: Tick) -> None:
        """Counts what ended and draws how things stand."""
        if tick.outcomes:
            self._last = time.monotonic()
        for outcome in tick.outcomes:
            if outcome.reason is None:
                self._done += 1
            else:
                self.failed.append(outcome)
            if self._bar.disable or outcome.reason is not None:
                self._print(outcome, tick.running)
        ended = self._skipped + self._done + len(self.failed)
        self._bar.update(self._task, completed=ended, description=self._counts(tick.running))

    def _print(self, outcome: Outcome, running: int) -> None:
        trial = outcome.trial
        end = "done" if outcome.reason is None else f"FAILED, {outcome.reason}"
        text = f"{trial.id} {trial.describe(self._names)}: {end}"
        if self._bar.disable:
            text = f"[{self._counts(running)}] {text}"
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _counts(self, running: int) -> str:
        parts = [f"{self._done + self._skipped} of {self._total} done", f"{running} running"]
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        if self._skipped:
            parts.append(f"{self._skipped} skipped")
        if ended := self._done + len(self.failed):
            waiting = self._total - self._skipped - ended
            end = self._last + waiting * (self._last - self._start) / ended
            parts.append(f"{_duration(max(0, end - time.monotonic()))} left")
        return ", ".join(parts)


@contextmanager
def view(console: Console, total: int, skipped: int, names: tuple[str, ...]) -> Iterator[View]:
    """A line that is kept up to date; one line per trial where output is not a terminal.

    So many trials were done before; they are told apart by the options `names`.
    """
    columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}")
    with live_bar(console, *columns, TimeElapsedColumn()) as bar:
        yield View(total, skipped, names, bar)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
