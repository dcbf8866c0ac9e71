"""One description of a table, drawn in the terminal and in the report."""

from collections.abc import Sequence
from dataclasses import dataclass

import rich.table
from rich import box


@dataclass(frozen=True)
class Table:
    """A table of finished text.

    Attributes:
        title: What the table shows, with its unit.
        columns: Headings.
        rows: One sequence of cells per row, each as long as `columns`.
        note: What a reader must know to read it; may be empty.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"row {row!r} has not one cell per column {self.columns!r}")


def to_terminal(table: Table) -> rich.table.Table:
    """The table for `rich.print`: first column to the left, numbers to the right."""
    drawn = rich.table.Table(
        title=table.title,
        caption=table.note or None,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        padding=(0, 1, 0, 0),
        collapse_padding=True,
    )
    for index, column in enumerate(table.columns):
        drawn.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*row)
    return drawn
