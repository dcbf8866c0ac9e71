"""One description of a table, drawn in the terminal and in the report."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import rich.table
from rich import box

from experiments.framework.claims import Claim
from experiments.framework.results import Key, Measured, Results
from experiments.report.formats import UNKNOWN, Format


@dataclass(frozen=True)
class Table:
    """A table of finished text: its title has the unit, its note is what a reader must know.

    Attributes:
        names: What the columns call the measures that they show.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"row {row!r} has not one cell per column {self.columns!r}")


@dataclass(frozen=True)
class Column:
    """One column of a table of results.

    Attributes:
        measure: What its cells show: a measure of the row's results, or a function of them.
        keys: Keys of the measure beside those of the row.
    """

    heading: str
    measure: str | Callable[[Results], Measured | None]
    format: Format
    keys: Mapping[str, Key] = field(default_factory=dict)

    def cell(self, row: Results) -> str:
        """The cell in a row of these results; a dash where nothing was measured."""
        if callable(self.measure):
            measured = self.measure(row)
        else:
            measured = row.find(self.measure, **self.keys)
        return UNKNOWN if measured is None else self.format(measured)


@dataclass(frozen=True)
class KeyColumn:
    """A column that says what a row is about.

    Attributes:
        key: The key whose values make the rows.
        show: How a value of the key is shown.
    """

    heading: str
    key: str
    show: Callable[[Any], str] = str


Columns = Sequence[KeyColumn | Column]


def tabulate(title: str, results: Results, columns: Columns, note: str = "") -> Table:
    """A table with one row per combination of the key columns' keys, in the order of the results.

    Combinations for which no other column has a number are left out.
    """
    keys = [column.key for column in columns if isinstance(column, KeyColumn)]
    rows = []
    for values, row in results.groups(*keys):
        of_row = dict(zip(keys, values))
        cells = [
            column.show(of_row[column.key]) if isinstance(column, KeyColumn) else column.cell(row)
            for column in columns
        ]
        measured = [c for c, column in zip(cells, columns) if isinstance(column, Column)]
        if any(cell != UNKNOWN for cell in measured):
            rows.append(cells)
    names = {
        column.measure: column.heading
        for column in columns
        if isinstance(column, Column) and isinstance(column.measure, str) and not column.keys
    }
    return Table(title, [column.heading for column in columns], rows, note, names)


def names_of(tables: Iterable[Table]) -> dict[str, str]:
    """What tables call the measures that they show; with the table's title where two have one name.

    The first table that shows a measure names it.
    """
    found: dict[str, tuple[str, str]] = {}
    for table in tables:
        for measure, heading in table.names.items():
            found.setdefault(measure, (heading, table.title))
    counts = Counter(heading for heading, _ in found.values())
    return {
        measure: heading if counts[heading] == 1 else f"{title}: {heading}"
        for measure, (heading, title) in found.items()
    }


def matrix(
    title: str,
    results: Results,
    rows: KeyColumn,
    columns: str,
    measure: str,
    format: Format,
    note: str = "",
) -> Table:
    """One measure by two keys: the values of `columns` are the headings.

    Only rows and columns that have the measure appear.
    """
    having = Results(of for of in results.entries if of.measure == measure and columns in of.keys)
    headings = having.values(columns)
    cells = [Column(str(heading), measure, format, {columns: heading}) for heading in headings]
    return tabulate(title, having, [rows, *cells], note)


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
