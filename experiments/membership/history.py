"""What is seen after each epoch, kept through interruptions."""

import json
import os
from pathlib import Path
from typing import Any, TextIO

import polars as pl


class History:
    """One row per epoch.

    Args:
        path: A file among the checkpoints of the run, one line per epoch; read if an interrupted
            run left it.
    """

    def __init__(self, path: Path):
        self._path = path
        self._file: TextIO | None = None
        self._rows: list[dict[str, Any]] = []
        if path.exists():
            lines = path.read_text().splitlines(keepends=True)
            # Of the last line, there may be half.
            self._rows = [json.loads(line) for line in lines if line.endswith("\n")]

    def add(self, epoch: int, row: dict[str, Any]) -> None:
        """Adds the row of an epoch, counted from 0; epochs follow one another."""
        if self._file is None:
            # After an interruption, epochs since the last checkpoint come once more.
            self._rows = self._rows[:epoch]
            self._file = self._reopened()
        self._rows.append({"epoch": epoch + 1, **row})
        self._file.write(_line(self._rows[-1]))

    def _reopened(self) -> TextIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(map(_line, self._rows)))
        os.replace(partial, self._path)
        return self._path.open("a", buffering=1)  # every line at once

    def table(self) -> pl.DataFrame:
        """All rows."""
        return pl.DataFrame(self._rows)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"
