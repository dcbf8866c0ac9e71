"""Self-contained HTML pages: no script, no external resource, all text escaped."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from experiments.report.tables import Table

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
       color: #1c1e21; background: #fff; max-width: 62rem; margin: 0 auto;
       padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: .9rem;
     border-top: 1px solid #dcdfe4; }
p, ul { max-width: 48rem; margin: .6rem 0; }
.lead { color: #555b63; margin-top: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; margin: .9rem 0 .3rem;
        font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
th, td { padding: .34rem .8rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: .2rem; }
thead th { border-bottom: 2px solid #1c1e21; vertical-align: bottom; white-space: normal; }
tbody tr { border-bottom: 1px solid #e7e9ed; }
.note { color: #555b63; font-size: .875rem; margin-top: .2rem; }
figure { margin: 1rem 0 1.6rem; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption { color: #555b63; font-size: .875rem; max-width: 48rem; margin-top: .4rem; }
.verdict { font-size: 1.15rem; font-weight: 600; padding: .8rem 1rem; border-left: .5rem solid;
           margin: 1.2rem 0; }
.good { border-color: #009e73; background: #e8f6f1; }
.bad { border-color: #d55e00; background: #fcefe6; }
.neutral { border-color: #7a828c; background: #f2f3f5; }
.gallery { display: flex; flex-wrap: wrap; gap: .8rem; }
.gallery figure { margin: 0; width: 6.2rem; }
.gallery img { width: 6.2rem; height: 6.2rem; object-fit: contain; image-rendering: pixelated;
               background: #f2f3f5; }
.gallery figcaption { font-size: .75rem; line-height: 1.3; }
code { font: .875em ui-monospace, Menlo, Consolas, monospace; background: #f2f3f5;
       padding: .1em .3em; border-radius: 3px; }
@media print { h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""


def page(title: str, lead: str, sections: Iterable[str]) -> str:
    """A whole HTML document from finished fragments.

    Args:
        title: The document's title and first heading.
        lead: One sentence below it.
        sections: Fragments made by the other functions of this module.
    """
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n{body}\n</body>\n</html>\n'
    )


def section(heading: str, *fragments: str) -> str:
    """A heading with what belongs to it."""
    return f"<section>\n<h2>{escape(heading)}</h2>\n" + "\n".join(fragments) + "\n</section>"


def paragraph(text: str) -> str:
    """Running text."""
    return f"<p>{escape(text)}</p>"


def bullets(items: Sequence[str]) -> str:
    """A list of sentences."""
    return "<ul>\n" + "\n".join(f"<li>{escape(item)}</li>" for item in items) + "\n</ul>"


def verdict(text: str, kind: str) -> str:
    """A highlighted sentence; `kind` is "good", "bad" or "neutral"."""
    return f'<p class="verdict {escape(kind)}">{escape(text)}</p>'


def table(content: Table) -> str:
    """The table, with its title as caption and its note below."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in content.columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in content.rows
    )
    note = f'<p class="note">{escape(content.note)}</p>' if content.note else ""
    return (
        f'<div class="scroll"><table>\n<caption>{escape(content.title)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>\n{note}"
    )


def figure(path: Path, alt: str, caption: str) -> str:
    """A picture file, inlined.

    Args:
        path: A PNG or SVG file.
        alt: What the picture shows, for readers who cannot see it.
        caption: The text below it.
    """
    return (
        f'<figure><img src="{_data_uri(path)}" alt="{escape(alt)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def gallery(pictures: Sequence[tuple[Path, str]]) -> str:
    """Small pictures side by side, each a file and its caption."""
    items = "\n".join(figure(path, caption, caption) for path, caption in pictures)
    return f'<div class="gallery">\n{items}\n</div>'


def _data_uri(path: Path) -> str:
    kind = {".png": "image/png", ".svg": "image/svg+xml"}[Path(path).suffix]
    return f"data:{kind};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"
