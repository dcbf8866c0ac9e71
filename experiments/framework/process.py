"""A trial as a process of its own, so that nothing it does stops the others.

`python -m experiments.framework.process PID JOB …` is `python -m experiments JOB …`, except that it
ends when its parent, which has this PID, ends.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.framework.command_line import main

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_TAIL = 30
_ROOT = str(Path(__file__).parents[2])  # experiments are not installed: trials find them here


def start(
    command: Sequence[str],
    out: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
    folder: str | None = None,
) -> subprocess.Popen:
    """Starts a trial, in place of earlier attempts at it.

    Args:
        command: Job and options.
        out: Its run directory.
        log: Where its output goes.
        environment: Further variables for it.
        folder: Its working directory; default: this process's.
    """
    _clear(out)
    paths = [_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", __name__, str(os.getpid()), *command, "--out", str(out)],
            stdin=subprocess.DEVNULL,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the sweep, which then stops its trials
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(paths),
                "PYTHONUNBUFFERED": "1",  # what was printed before a crash is in the log
                "PYTHONFAULTHANDLER": "1",  # and so is where the crash happened
                **(environment or {}),
            },
        )


def failure(code: int, log: str) -> tuple[str, str]:
    """Why a trial failed, in one line, and the end of its log: the traceback, if it has one.

    The exit code is −s if signal s killed it.
    """
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    starts = [i for i, line in enumerate(lines) if line.startswith("Traceback ")]
    details = "\n".join(lines[starts[-1] :] if starts else lines[-_TAIL:])
    if code < 0:
        remark = "; is there enough memory?" if code == -signal.SIGKILL else ""
        return f"killed by {signal.Signals(-code).name}{remark}", details
    last = lines[-1] if lines else "no output"
    if code == 0:
        return f"ended without a completed run directory: {last}", details
    return f"exit code {code}: {last}", details


def _clear(out: Path) -> None:
    """Removes what interrupted and failed attempts at a run left; its checkpoints stay."""
    for pattern in (f".{out.name}.*.partial", f"{out.name}.failed-*"):
        for left in out.parent.glob(pattern):
            shutil.rmtree(left, ignore_errors=True)


def end_with_parent(parent: int) -> None:
    """Asks the kernel to kill this process when its parent dies (Linux only)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has died already
        sys.exit(f"process {parent}, which started this one, is gone")


if __name__ == "__main__":
    end_with_parent(int(sys.argv.pop(1)))
    sys.exit(main())
