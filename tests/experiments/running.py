"""A job run as its user runs it."""

import os
import re
import subprocess
import sys

import pytest

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
