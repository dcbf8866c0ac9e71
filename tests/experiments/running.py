"""A job run as its user runs it."""

import json
import os
import re
import subprocess
import sys
from html import unescape

import polars as pl
import pytest

from experiments.framework.command_line import main
from experiments.framework.results import Results
from experiments.framework.run_directory import is_complete
from experiments.membership.attacks import measures

FILES = {
    "config.json",
    "status.json",
    "summary.json",
    "tables.md",
    "names.json",
    "results.parquet",
    "figures",
}


def run_of(command):
    """A fixture of a module: what `run_job` returns, once for all of its tests.

    Args:
        command: Job and options, in one string.
    """

    @pytest.fixture(scope="module")
    def run(tmp_path_factory):
        return run_job(tmp_path_factory.mktemp(command.partition(" ")[0]) / "run", command)

    return run


def results_of_run():
    """A fixture of a module: the results of its `run`."""

    @pytest.fixture(scope="module")
    def results(run):
        return Results.read(run[0] / "results.parquet")

    return results


def canaries_are_apart(out, under=".", **keys):
    """Every defense has a number of canaries, which are in no other number.

    Args:
        under: Folder of the tables about single examples, in the run directory.
        keys: Keys of the numbers beside that of the defense.
    """
    results = Results.read(out / "results.parquet")
    apart = results.where(examples="canaries")
    scores = pl.read_parquet(out / under / "scores.parquet")
    canary = pl.read_parquet(out / under / "per_example.parquet").filter(pl.col("canary"))
    assert len(canary) > 0
    ordinary = scores.filter(~pl.col("id").is_in(canary["id"].unique().implode()))
    for (label, seed), frame in ordinary.group_by("defense", "seed"):
        shape = frame["model"].n_unique(), -1
        frame = frame.sort("model", "id")
        lira, member = (frame[name].to_numpy().reshape(shape) for name in ("lira", "member"))
        expected = measures(lira, member)["auc"]
        shown = results.get("auc", defense=label, attack="lira", **keys).values[seed]
        assert shown == pytest.approx(expected)
        assert 0 <= apart.get("best_tpr_at_1pct", defense=label, **keys).mean <= 1
    assert "Canaries: the best attack on them alone" in (out / "report.html").read_text()


def shows(*words, images):
    """A test that the report of `run` shows these words and so many figures, see `check_report`."""

    def shown(run):
        assert is_complete(run[0])
        page = check_report(run, images)
        assert [word for word in words if word not in page] == []

    return shown


def complete_run(command, *names, images=0):
    """`run_of(command)`, and a test that it has a report and these files beside those of every run.

    Args:
        command: Job and options, in one string.
        images: How many figures its report shows; 0 where there is another test for it.
    """

    def completed(run):
        check_files(run[0], "report.html", *names)
        if images:
            check_report(run, images)

    return run_of(command), completed


def check_files(out, *names):
    """The run is complete, and has these files and folders beside those of every run."""
    assert is_complete(out)
    assert {path.name for path in out.iterdir()} == {*FILES, *names}


def check_report(run, images):
    """The report was named where it was written, loads nothing, and shows claims and figures.

    Args:
        images: How many.

    Returns:
        The page.
    """
    out, text = run
    assert f"report: {out / 'report.html'}" in text
    page = (out / "report.html").read_text()
    sources = referred(page)
    assert len(sources) == images
    assert all(source.startswith("data:image/svg+xml;") for source in sources)
    assert "<script" not in page
    claims = out / "claims.json"
    for claim in json.loads(claims.read_text()) if claims.exists() else []:
        assert claim["statement"] in unescape(page)
    return page


def mistakes_of(command, cases):
    """A test that a command with wrong arguments says one sentence and begins nothing.

    Args:
        command: Job and options that are right, in one string.
        cases: Pairs of wrong arguments, in one string, and what the sentence holds.
    """

    @pytest.mark.parametrize(("arguments", "says"), cases)
    def told(capsys, tmp_path, arguments, says):
        asked = [*command.split(), *arguments.split()]
        assert main([*asked, "--out", str(tmp_path / "run")]) == 2
        *warnings, sentence = capsys.readouterr().err.strip().splitlines()
        assert says in sentence
        assert all("will go in the next release" in warning for warning in warnings)
        assert not any(tmp_path.iterdir())

    return told


def referred(page):
    """Beginnings of what a page refers to outside of itself."""
    return re.findall(r'(?:src|href)="([^"#]{1,20})', page)


def run_job(out, command, columns=200):
    """Runs a job in a process of its own, through the real command line.

    Args:
        out: Its run directory.
        command: Job and options, in one string.
        columns: Width of the terminal.

    Returns:
        The run directory, and what was printed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *command.split(), "--out", str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": str(columns)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done.stdout
