"""One description of a table, drawn in the terminal and in the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import rich.table
from rich import box

from experiments.framework.claim import Claim


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


def significant(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, without an exponent where it is large."""
    return f"{value:,.0f}" if abs(value) >= 10**digits - 0.5 else f"{value:.{digits}g}"


def claims_table(claims: Sequence[Claim], note: str = "") -> Table:
    """Claims with their measurements and verdicts."""
    rows = [[claim.statement, claim.source, claim.measured, claim.verdict] for claim in claims]
    return Table("Claims and verdicts", ("claim", "source", "measured here", "verdict"), rows, note)


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
        cells = [column, *(row[index] for row in table.rows)]
        # Where the terminal is narrow, words move to the next line; no number is cut.
        longest = max((len(word) for cell in cells for word in cell.split()), default=1)
        justify: Literal["left", "right"] = "left" if index == 0 else "right"
        drawn.add_column(column, justify=justify, min_width=longest)
    for row in table.rows:
        drawn.add_row(*row)
    return drawn


def to_markdown(table: Table) -> str:
    """The table in Markdown, with its title before and its note after it."""
    lines = [_row(table.columns), _row(["---"] * len(table.columns)), *map(_row, table.rows)]
    parts = [f"**{table.title}**", "\n".join(lines), table.note]
    return "\n\n".join(part for part in parts if part)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
