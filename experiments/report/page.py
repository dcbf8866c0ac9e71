"""A report: tables and figures as data, the words in a template, one self-contained page.

The template of a job lies beside its `report.py` and extends `page.html.jinja`, which gives the
frame and the macros `table`, `figure`, `fold`, `gallery` by name:

    {% extends "page.html.jinja" %}
    {% block title %}The privacy onion on {{ task.dataset.name }}{% endblock %}
    {% block body %}
    <h2>Those who stay</h2>
    {{ table("survivors") }}
    {% call figure("rounds") %}LiRA on those who stay, by round.{% endcall %}
    {% endblock %}
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from rich.console import Console

from experiments.framework.claims import Claim
from experiments.framework.run_directory import to_json
from experiments.report import style
from experiments.report.formats import format_interval
from experiments.report.tables import Table, claims_table, names_of, to_markdown, to_terminal

TABLES_FILE = "tables.md"
NAMES_FILE = "names.json"  # what the tables call measures, for sweeps
VERDICTS = (
    "Verdicts follow from 95 % t-intervals over seeds of the contrasts that a claim is judged by: "
    "reproduced if all lie on the claim's side of 0, partly if some do, contradicted if one lies "
    "on the other side, not told apart if all include 0."
)
_TEMPLATES = Path(__file__).with_name("templates")


class Place(Protocol):
    """Where a report is written: the directory of a run, or of a sweep."""

    def file(self, name: str) -> Path:
        """Path at which to write the file `name`."""


@dataclass(frozen=True)
class Picture:
    """A figure, and what it shows for readers who cannot see it; its caption is in the template."""

    figure: Figure
    alt: str


@dataclass(frozen=True)
class Report:
    """What a job shows of its results.

    Attributes:
        beside: File of the job's `report.py`, beside which its template lies.
        tables: Tables by the names that the template uses.
        figures: Pictures by name; saved as figures/<name>.png and .svg.
        terminal: Names of the tables that the terminal shows; "claims" is that of the claims.
        claims: What the results say of the claims; the frame of jobs gives them.
        words: What else the template speaks of: options, the task, results, numbers.
        claims_note: The rule of the verdicts, below their table.
        name: What the terminal calls it.
        remarks: Sentences that the terminal shows below the tables.
    """

    beside: str
    tables: Mapping[str, Table]
    figures: Mapping[str, Picture] = field(default_factory=dict)
    terminal: Sequence[str] = ()
    claims: Sequence[Claim] = ()
    words: Mapping[str, Any] = field(default_factory=dict)
    claims_note: str = VERDICTS
    file: str = "report.html"
    name: str = "report"
    remarks: Sequence[str] = ()
    template: str = "report.html.jinja"

    @cached_property
    def _all_tables(self) -> dict[str, Table]:
        own = {"claims": claims_table(self.claims, self.claims_note)} if self.claims else {}
        return {**self.tables, **own}

    def write(self, directory: Place) -> None:
        """Writes the figures, the page, its tables in Markdown, and what they call measures."""
        images = {
            name: _inline(style.save(picture.figure, directory.file(f"figures/{name}")))
            for name, picture in self.figures.items()
        }
        page = self.render(images)
        directory.file(self.file).write_text(page)
        tables = map(to_markdown, self._all_tables.values())
        directory.file(TABLES_FILE).write_text("\n\n".join(tables) + "\n")
        names = names_of(self._all_tables.values())
        directory.file(NAMES_FILE).write_text(to_json(names))

    def render(self, images: Mapping[str, str]) -> str:
        """The page, with the figures as data URIs by name."""
        environment = _environment(Path(self.beside).parent)
        return environment.get_template(self.template).render(
            tables=self._all_tables,
            images={name: Markup(image) for name, image in images.items()},
            pictures=self.figures,
            **self.words,
        )

    def show(self, console: Console) -> None:
        """Prints the tables that the terminal shows."""
        for name in self.terminal:
            if name in self._all_tables:
                console.print(to_terminal(self._all_tables[name]))
        for remark in self.remarks:
            console.print(remark, markup=False, highlight=False, soft_wrap=True)


def _environment(folder: Path) -> Environment:
    """Where templates are found, and what they may use."""
    environment = Environment(
        loader=FileSystemLoader([folder, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"interval": format_interval, "inline": _inline}
    return environment


def to_html(table: Table) -> str:
    """A table as HTML, for notebooks."""
    macros = (
        _environment(_TEMPLATES)
        .get_template("macros.html.jinja")
        .make_module({"tables": {"it": table}})
    )
    return macros.table("it")  # type: ignore[attr-defined]


def _inline(path: Path) -> str:
    """A picture file as a data URI."""
    kind = {".png": "image/png", ".svg": "image/svg+xml"}[Path(path).suffix]
    return f"data:{kind};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"
