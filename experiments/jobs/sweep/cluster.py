"""Trials as Ray tasks, on one machine or on many."""

import io
import logging
import os
import socket
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.framework.errors import UserError, check_option
from experiments.framework.process import failure
from experiments.framework.trial import Outcome, Tick, Trial
from experiments.jobs.sweep.directory import SweepDirectory
from experiments.jobs.sweep.node import Result, run_trial

_RETRIES = 5  # of a trial whose node died
_WAIT_SECONDS = 0.5
_REACH_SECONDS = 5.0
_FORWARDED = ("JAX_", "XLA_", "TFDS_")  # variables of this machine that change what a trial does


class Cluster:
    """A connection to Ray, and what each trial takes.

    Raises:
        UserError: Ray is not installed, cannot be reached, or has no node that is large enough.
    """

    def __init__(self, address: str, cpus: float, gpus: float):
        # Not a word to the outside, unless asked for.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ModuleNotFoundError as error:
            raise UserError("--ray needs Ray: pip install 'gujax[ray]'") from error
        self._ray = ray
        self._cpus, self._gpus = cpus, gpus
        _reach(address)
        try:
            ray.init(
                None if address == "auto" else address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                ignore_reinit_error=True,
            )
        except Exception as error:  # Ray raises many kinds
            raise UserError(f"--ray {address}: cannot connect: {_line(error)}") from error
        self._check_size()

    def run(self, trials: Sequence[Trial], directory: SweepDirectory) -> Iterator[Tick]:
        """Runs all trials; cancels what is left when the iteration is given up.

        A trial whose node dies is started again on another one. Nodes that see the sweep's
        directory write into it; what the others made is sent back.
        """
        ray = self._ray
        task = ray.remote(
            num_cpus=self._cpus, num_gpus=self._gpus, max_retries=_RETRIES, retry_exceptions=False
        )(run_trial)
        environment = {k: v for k, v in os.environ.items() if k.startswith(_FORWARDED)}
        pending = {}
        try:
            for trial in trials:
                ticket = task.remote(
                    trial.command, directory.run(trial), directory.token, os.getcwd(), environment
                )
                pending[ticket] = trial
            while pending:
                ready, _ = ray.wait(list(pending), timeout=_WAIT_SECONDS)
                outcomes = [self._outcome(t, pending.pop(t), directory) for t in ready]
                yield Tick(outcomes, min(len(pending), self._running()))
        finally:
            for ticket in pending:
                ray.cancel(ticket, force=True)
            ray.shutdown()

    def _outcome(self, ticket, trial: Trial, directory: SweepDirectory) -> Outcome:
        try:
            result: Result = self._ray.get(ticket)
        except self._ray.exceptions.RayError as error:
            return Outcome(trial, f"lost by Ray: {_line(error)}", str(error))
        directory.log(trial).write_text(result.log)
        if result.archive is not None:
            unpack(result.archive, directory.run(trial))
        if directory.is_done(trial):
            return Outcome(trial)
        return Outcome(trial, *failure(result.code, result.log))

    def _running(self) -> int:
        """Trials at work, as the CPUs (or GPUs) in use tell."""
        kind, each = ("CPU", self._cpus) if self._cpus else ("GPU", self._gpus)
        total, free = self._ray.cluster_resources(), self._ray.available_resources()
        return round((total.get(kind, 0) - free.get(kind, 0)) / each) if each else 0

    def _check_size(self) -> None:
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        fits = any(
            node.get("CPU", 0) >= self._cpus and node.get("GPU", 0) >= self._gpus for node in nodes
        )
        sizes = ", ".join(f"{n.get('CPU', 0):g} CPUs and {n.get('GPU', 0):g} GPUs" for n in nodes)
        if not fits:
            self._ray.shutdown()
        check_option(
            fits,
            f"no node has the {self._cpus:g} CPUs and {self._gpus:g} GPUs of a trial; "
            f"there are nodes of {sizes}",
        )


def unpack(content: bytes, run: Path) -> None:
    """Puts a run directory in its place, as a whole or not at all."""
    partial = Path(tempfile.mkdtemp(prefix=f".{run.name}.", suffix=".partial", dir=run.parent))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(partial, filter="data")
    partial.rename(run)


def _reach(address: str) -> None:
    """Ray itself tries for minutes to reach a host that is not there."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), _REACH_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"--ray {address} cannot be reached: {error}; does 'ray start --head' run there?"
        ) from error


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
