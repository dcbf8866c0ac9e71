import json

import polars as pl
import pytest

from experiments.framework.claims import test as tested_claim
from experiments.framework.claims import write_claims
from experiments.framework.command_line import USER_ERROR, main
from experiments.framework.job import RESULTS_FILE
from experiments.framework.results import Results
from experiments.framework.run_directory import RunDirectory, is_complete
from experiments.framework.schema import command_of
from experiments.jobs.claims.collect import collect, runs_in
from gujax.statistics import Interval

EFFECT = Interval(0.5, 0.25, 0.75)


def claim(key, measured):
    return tested_claim(key, f"success | {key}", "paper", measured, [EFFECT, Interval(2, 1, 3)])


def fail(path):
    with RunDirectory(path, {"job": "onion"}) as run:
        write_claims(run, [claim("rises", "of a failed run")])
        raise RuntimeError


def finish(path, measured, time, dataset="digits", key="rises", **options):
    config = {"job": "onion", "dataset": dataset, **options}
    with RunDirectory(path, config) as run:
        write_claims(run, [claim(key, measured)])
        config = json.loads(run.file("config.json").read_text())
        config["environment"]["time"] = time
        run.write_json("config.json", config)
        run.file("tables.md").write_text(f"**Table of {measured}**\n")


@pytest.fixture
def runs(tmp_path):
    finish(tmp_path / "runs" / "old", "old", "2026-01-01T00:00:00+0000")
    finish(tmp_path / "runs" / "sweep" / "new", "new", "2026-01-02T00:00:00+0000", rounds=2)
    finish(tmp_path / "runs" / "other", "else", "2026-01-01T00:00:00+0000", "cifar10")
    with pytest.raises(RuntimeError):
        fail(tmp_path / "runs" / "x")
    return tmp_path / "runs"


def test_the_latest_run_of_each_setting_counts(runs, tmp_path, capsys):
    document = tmp_path / "NOTES.md"
    document.write_text("before\n<!-- claims -->\nstale\n<!-- /claims -->\nafter\n")
    out = tmp_path / "out"
    assert main(["claims", "--runs", str(runs), "--update", str(document), "--out", str(out)]) == 0
    assert is_complete(out)
    text = document.read_text()
    assert text.startswith("before\n<!-- claims -->\n")
    assert text.endswith("\n<!-- /claims -->\nafter\n")
    assert text.count("success | rises") == 2
    for shown in ("new", "else", "(onion; cifar10)", "effect 0.5 [0.25, 0.75], lowest of 2"):
        assert shown in text
    for gone in ("stale", "Measured: old", "of a failed run"):
        assert gone not in text
    assert "not tested at this scale" in text  # what needs a language model
    shown = pl.read_parquet(out / "claims.parquet")
    assert {"new", "else"} < set(shown["measured"])
    assert "old" not in set(shown["measured"])
    counted = Results.read(out / RESULTS_FILE)
    assert counted.get("claims", verdict="reproduced").mean == 2
    assert "report:" in capsys.readouterr().out


def test_canaries_further_apart_are_a_setting_of_their_own(tmp_path):
    for name, noise in (("near", 0.1), ("far", 0.6)):
        finish(tmp_path / name, name, "2026-01-01T00:00:00+0000", canary_noise=noise)
    found, _ = runs_in([tmp_path])
    settings = {run.setting for run in found}
    assert settings == {"onion; digits", "onion; digits; canaries 0.6 apart"}


def test_the_command_of_options_that_only_go_together():
    config = {"job": "compare", "canaries": "near_duplicates", "canary_noise": 0.6}
    command = command_of(config)
    assert command[4:] == ["--canaries", "near_duplicates", "--canary-noise", "0.6"]


def test_documents_hold_the_tables_of_the_runs_that_count(runs, tmp_path, capsys):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "mine.md").write_text("written by hand\n")
    command = ["claims", "--runs", str(runs), "--docs", str(docs), "--out"]
    assert main([*command, str(tmp_path / "first")]) == 0
    names = ["claims.md", "mine.md", "onion-cifar10.md", "onion-digits.md", "records"]
    assert sorted(page.name for page in docs.iterdir()) == names
    page = (docs / "onion-digits.md").read_text()
    assert "**Table of new**" in page
    assert "`python -m experiments onion --rounds 2`" in page
    assert "[onion; digits](onion-digits.md)" in (docs / "claims.md").read_text()


def test_no_path_of_the_machine_is_published(tmp_path):
    recipes = str(tmp_path / "recipes.json")
    finish(tmp_path / "runs" / "it", "it", "2026-01-01T00:00:00+0000", recipes=recipes, out=recipes)
    docs = tmp_path / "docs"
    command = ["claims", "--runs", str(tmp_path / "runs"), "--docs", str(docs)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    for file in docs.rglob("*.*"):
        assert str(tmp_path) not in file.read_text()


def test_documents_outlive_the_run_directories(runs, tmp_path):
    docs = tmp_path / "docs"
    command = ["claims", "--docs", str(docs), "--runs"]
    assert main([*command, str(runs), "--out", str(tmp_path / "first")]) == 0
    written = {page.name: page.read_text() for page in docs.glob("*.md")}
    finish(tmp_path / "new" / "run", "newest", "2026-01-04T00:00:00+0000")
    assert main([*command, str(tmp_path / "new"), "--out", str(tmp_path / "second")]) == 0
    assert (docs / "onion-cifar10.md").read_text() == written["onion-cifar10.md"]
    assert "**Table of newest**" in (docs / "onion-digits.md").read_text()
    measured = pl.read_parquet(tmp_path / "second" / "claims.parquet")["measured"]
    assert {"newest", "else"} < set(measured)
    assert "new" not in set(measured)
    (docs / "records" / "onion-cifar10.json").unlink()
    assert main([*command, str(tmp_path / "new"), "--out", str(tmp_path / "third")]) == 0
    assert not (docs / "onion-cifar10.md").exists()
    assert "cifar10" not in (docs / "claims.md").read_text()


def test_a_later_run_of_other_claims_takes_nothing_away(runs):
    finish(runs / "later", "few", "2026-01-03T00:00:00+0000", key="falls")
    found, left_out = runs_in([runs])
    assert {tested.claim.measured for tested in collect(found)} == {"new", "few", "else"}
    assert left_out == []


def test_runs_of_earlier_versions_are_left_out_and_named(runs, tmp_path, capsys):
    with RunDirectory(runs / "ancient", {"job": "onion"}) as run:
        old = {"key": "rises", "statement": "s", "source": "p", "measured": "ancient"}
        run.write_json("claims.json", [{**old, "verdict": "not reproduced"}])
    assert main(["claims", "--runs", str(runs), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "ancient: the verdict &#39;not reproduced&#39; is of an earlier version" in page
    assert "ancient" not in set(pl.read_parquet(tmp_path / "out" / "claims.parquet")["measured"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "nowhere"], "--runs nowhere is no folder"),
        (["--update", "nowhere.md"], "cannot read --update nowhere.md"),
    ],
)
def test_wrong_input(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["claims", *arguments]) == USER_ERROR
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_document_without_markers(runs, tmp_path, capsys):
    document = tmp_path / "NOTES.md"
    document.write_text("nothing\n")
    assert main(["claims", "--runs", str(runs), "--update", str(document)]) == USER_ERROR
    assert "has no lines '<!-- claims -->'" in capsys.readouterr().err
    assert document.read_text() == "nothing\n"
