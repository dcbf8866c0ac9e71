"""What is seen after each epoch, kept through interruptions."""

import json
import os
from pathlib import Path
from typing import Any

import polars as pl


class History:
    """One row per epoch.

    Args:
        path: A file among the checkpoints of the run; read if an interrupted run left it.
    """

    def __init__(self, path: Path):
        self._path = path
        self._rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []

    def add(self, epoch: int, row: dict[str, Any]) -> None:
        """Adds the row of an epoch, counted from 0."""
        # After an interruption, epochs since the last checkpoint come once more.
        self._rows = [*self._rows[:epoch], {"epoch": epoch + 1, **row}]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self._rows))
        os.replace(partial, self._path)

    def table(self) -> pl.DataFrame:
        """All rows."""
        return pl.DataFrame(self._rows)
