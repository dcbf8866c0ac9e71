"""A job run as its user runs it."""

import os
import subprocess
import sys


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
