import json

import pytest

from experiments.framework.claim import Claim, write_claims
from experiments.framework.command_line import USER_ERROR, main
from experiments.framework.run_directory import RunDirectory, is_complete
from experiments.jobs.claims.collect import collect


def fail(path):
    with RunDirectory(path, {"job": "x"}) as run:
        write_claims(run, [Claim("rises", "s", "paper", "of a failed run", "reproduced")])
        raise RuntimeError


def finish(path, job, measured, time, dataset="digits", key="rises"):
    with RunDirectory(path, {"job": job, "dataset": dataset}) as run:
        write_claims(run, [Claim(key, f"success | {key}", "paper", measured, "reproduced")])
        config = json.loads(run.file("config.json").read_text())
        config["environment"]["time"] = time
        run.write_json("config.json", config)


@pytest.fixture
def runs(tmp_path):
    finish(tmp_path / "runs" / "old", "study", "old", "2026-01-01T00:00:00+0000")
    finish(tmp_path / "runs" / "sweep" / "new", "study", "new", "2026-01-02T00:00:00+0000")
    finish(tmp_path / "runs" / "other", "study", "else", "2026-01-01T00:00:00+0000", "cifar10")
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
    assert text.count("success \\| rises") == 2
    assert "new" in text
    assert "else" in text
    assert "study; cifar10" in text
    for gone in ("stale", "| old |", "of a failed run"):
        assert gone not in text
    assert "not tested at this scale" in text  # what needs a language model
    shown = json.loads((out / "summary.json").read_text())
    assert {entry["claim"]["measured"] for entry in shown} == {"new", "else"}
    assert "report:" in capsys.readouterr().out


def test_a_later_run_of_other_claims_takes_nothing_away(runs):
    finish(runs / "later", "study", "few", "2026-01-03T00:00:00+0000", key="falls")
    assert {tested.claim.measured for tested in collect([runs])} == {"new", "few", "else"}


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
