from html.parser import HTMLParser

import jinja2
import numpy as np
import pytest

from experiments.framework.claims import test as tested_claim
from experiments.framework.results import Results, entry
from experiments.report import style
from experiments.report.figures import histogram
from experiments.report.formats import number, percent, plain
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, KeyColumn, Table, matrix, tabulate
from gujax.statistics import Interval

TEMPLATE = """{% extends "page.html.jinja" %}
{% block title %}{{ evil }}{% endblock %}
{% block lead %}{{ evil }}{% endblock %}
{% block body %}
<h2>{{ evil }}</h2>
<p>{{ evil }}</p>
{% call verdict("bad") %}{{ evil }}{% endcall %}
{{ table("evil") }}
{% call figure("picture") %}{{ evil }}{% endcall %}
{% call fold("more") %}{{ gallery([(file, evil)]) }}{% endcall %}
{% endblock %}
"""


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


class Folder:
    def __init__(self, path):
        self.path = path

    def file(self, name):
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        return self.path / name


def report(tmp_path, template=TEMPLATE, **words):
    evil = '<script>alert("x")</script> & "quotes"'
    file = tmp_path / "report.html.jinja"
    file.write_text(template)
    drawn = histogram([1.0, 2.0, 2.5], "nats", limit=2.0)
    picture = style.save(drawn, tmp_path / "small").with_suffix(".png")
    made = Report(
        file,
        {"evil": Table(evil, ("a", evil), [["1", evil]], note=evil)},
        {"picture": Picture(drawn, evil)},
        claims=[tested_claim("key", evil, evil, evil, [Interval(1, 0.5, 1.5)])],
        words={"evil": evil, "file": picture, **words},
    )
    return evil, made


def test_a_page_is_well_formed_escaped_and_self_contained(tmp_path):
    evil, made = report(tmp_path)
    made.write(Folder(tmp_path / "run"))
    page = (tmp_path / "run" / "report.html").read_text()
    parsed = _Page(page)
    # Two titles, lead, heading, paragraph, verdict; caption, column, cell and note of the table;
    # two captions of pictures; claim, source and measurement.
    assert parsed.text.count(evil) == 15
    inside, *sources = parsed.sources
    assert inside == "#claims"
    assert len(sources) == 2
    assert all(source.startswith("data:image/") for source in sources)
    assert "http" not in page
    assert (tmp_path / "run" / "figures" / "picture.svg").exists()
    assert (tmp_path / "run" / "tables.md").read_text().count(evil) >= 4


def test_a_word_that_is_missing_is_an_error(tmp_path):
    _, made = report(tmp_path, TEMPLATE.replace("<p>{{ evil }}", "<p>{{ forgotten }}"))
    with pytest.raises(jinja2.UndefinedError, match="forgotten"):
        made.write(Folder(tmp_path / "run"))


def test_a_table_with_a_missing_cell_is_refused():
    with pytest.raises(ValueError, match="one cell per column"):
        Table("t", ("a", "b"), [["1"]])


@pytest.fixture
def results():
    return Results(
        [
            entry("accuracy", [0.9, 0.92], defense="SGD"),
            entry("accuracy", [0.8, 0.8], defense="gate"),
            entry("auc", [0.6, 0.7], defense="SGD", attack="lira"),
            entry("auc", [0.5, 0.7], defense="gate", attack="lira"),
            entry("auc", 0.55, defense="gate", attack="loss"),
            entry("seconds", 3.0),
        ]
    )


def test_a_table_of_results_has_a_row_per_key(results):
    columns = [
        KeyColumn("defense", "defense", str.upper),
        Column("accuracy", "accuracy", percent()),
        Column("LiRA", "auc", number(2), {"attack": "lira"}),
        Column("loss", "auc", plain(".3f"), {"attack": "loss"}),
        Column("gain", lambda row: row.get("auc", attack="lira") - 0.5, plain("+.2f")),
    ]
    table = tabulate("t", results, columns, "note")
    assert table.columns == ["defense", "accuracy", "LiRA", "loss", "gain"]
    assert table.rows[0] == ["SGD", "91.0 ± 12.7", "0.65 ± 0.64", "–", "+0.15"]
    assert table.rows[1] == ["GATE", "80.0 ± 0.0", "0.60 ± 1.27", "0.550", "+0.10"]


def test_a_matrix_has_a_column_per_value_of_its_second_key(results):
    table = matrix("t", results, KeyColumn("defense", "defense"), "attack", "auc", plain(".2f"))
    assert table.columns == ["defense", "lira", "loss"]
    assert table.rows == [["SGD", "0.65", "–"], ["gate", "0.60", "0.55"]]


def test_results_survive_their_table(results, tmp_path):
    results.frame().write_parquet(tmp_path / "results.parquet")
    read = Results.read(tmp_path / "results.parquet")
    assert [(e.measure, dict(e.keys)) for e in read.entries] == [
        (e.measure, dict(e.keys)) for e in results.entries
    ]
    for one, other in zip(read.entries, results.entries):
        np.testing.assert_array_equal(one.measured.values, other.measured.values)


def test_a_quantity_is_given_once():
    with pytest.raises(ValueError, match="given twice"):
        Results([entry("a", 1.0, b="c"), entry("a", 2.0, b="c")])
    with pytest.raises(KeyError, match="was not measured"):
        Results([]).get("a", b="c")
    with pytest.raises(ValueError, match="column of every table"):
        entry("a", 1.0, seed=3)
