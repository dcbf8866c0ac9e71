"""A job run as its user runs it."""

import os
import re
import subprocess
import sys

import pytest

from experiments.framework.command_line import main
from experiments.framework.run_directory import is_complete

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


def check_files(out, *names):
    """The run is complete, and has these files and folders beside those of every run."""
    assert is_complete(out)
    assert {path.name for path in out.iterdir()} == {*FILES, *names}


def check_report(run, images):
    """The report was named where it was written, and shows so many figures."""
    page = run[0] / "report.html"
    assert f"report: {page}" in run[1]
    assert page.read_text().count("<img") == images


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
