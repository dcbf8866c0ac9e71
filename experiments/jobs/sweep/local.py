"""Trials on this machine: a bounded number of processes."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence

from experiments.framework.process import failure, start
from experiments.framework.trial import Outcome, Tick, Trial
from experiments.jobs.sweep.directory import SweepDirectory

_POLL_SECONDS = 0.05


def run_locally(trials: Sequence[Trial], directory: SweepDirectory, workers: int) -> Iterator[Tick]:
    """Runs trials, so many at once; stops those that run when the iteration is given up."""
    waiting = deque(trials)
    running: list[tuple[Trial, subprocess.Popen]] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                trial = waiting.popleft()
                out, log = directory.run(trial), directory.log(trial)
                running.append((trial, start(trial.command, out, log)))
            ended = [pair for pair in running if pair[1].poll() is not None]
            running = [pair for pair in running if pair not in ended]
            yield Tick([_outcome(*pair, directory) for pair in ended], len(running))
            if not ended:
                time.sleep(_POLL_SECONDS)
    finally:
        for _, process in running:
            # At once: what a trial wrote so far does not count, and its checkpoints are atomic.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _outcome(trial: Trial, process: subprocess.Popen, directory: SweepDirectory) -> Outcome:
    # A job may end with an exit code of its own although its run completed (a violated policy).
    if directory.is_done(trial):
        return Outcome(trial)
    log = directory.log(trial).read_text(errors="replace")
    return Outcome(trial, *failure(process.returncode, log))
