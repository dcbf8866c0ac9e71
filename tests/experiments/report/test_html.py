from html.parser import HTMLParser

import pytest

from experiments.report import html, style
from experiments.report.figures import histogram
from experiments.report.tables import Table


class _Page(HTMLParser):
    """Checks nesting and gathers what a browser would load."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        assert tag not in ("script", "link", "iframe")
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def figure_file(tmp_path):
    return style.save(histogram([1.0, 2.0, 2.5], "nats", limit=2.0), tmp_path / "figure")


def test_a_page_is_well_formed_escaped_and_self_contained(figure_file):
    evil = '<script>alert("x")</script> & "quotes"'
    table = Table(evil, ("a", evil), [["1", evil]], note=evil)
    page = html.page(
        evil,
        evil,
        [
            html.section(
                evil,
                html.paragraph(evil),
                html.bullets([evil]),
                html.verdict(evil, "bad"),
                html.table(table),
                html.figure(figure_file, evil, evil),
                html.gallery([(figure_file.with_suffix(".png"), evil)]),
            )
        ],
    )
    parsed = _Page(page)
    # Two titles, lead, heading, paragraph, bullet, verdict; caption, column, cell and note of the
    # table; two captions of pictures.
    assert parsed.text.count(evil) == 13
    assert len(parsed.sources) == 2
    assert all(source.startswith("data:image/") for source in parsed.sources)
    assert "http" not in page


def test_a_table_with_a_missing_cell_is_refused():
    with pytest.raises(ValueError, match="one cell per column"):
        Table("t", ("a", "b"), [["1"]])
