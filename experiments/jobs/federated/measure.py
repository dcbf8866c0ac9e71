"""What the job does: clients send from processes of their own, and the server attacks."""

import dataclasses
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory, to_json
from experiments.inversion import runs
from experiments.inversion.sharing import Received, by_update
from experiments.jobs.federated.plan import Plan

_ROOT = Path(__file__).parents[3]
_TAIL = 3000  # characters of what a process said


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> runs.Attacked:
    """Lets the clients send, attacks what was received, and keeps the first reconstructions."""
    sent: dict[str, np.ndarray] = {}
    for clients in dict.fromkeys(plan.options.clients):
        with steps.step(f"{clients} clients and a server, each a process"):
            sent |= _exchange(plan, clients)

    def receive(now: runs.Round) -> Received:
        examples = by_update(now.shared, now.victims)
        leaves, structure = jax.tree.flatten(now.params)  # an update is a tree of the same kind
        found = [
            jnp.asarray(sent[f"{now.seed}|{now.shared.label}|{i}"]) for i in range(len(leaves))
        ]
        updates = jax.tree.unflatten(structure, found)
        keys = jax.random.split(now.share_key, len(examples[1]))
        return Received(now.shared, now.params, examples, updates, keys)

    attacked = runs.run(plan.attacked, steps, receive)
    attacked.save_pictures(directory)
    return attacked


def frames(plan: Plan, attacked: runs.Attacked) -> dict[str, pl.DataFrame]:
    """Every example that was asked for."""
    return {"examples": attacked.frame}


def _exchange(plan: Plan, clients: int) -> dict[str, np.ndarray]:
    """What the server received from so many clients, by seed, kind of update and leaf."""
    with tempfile.TemporaryDirectory() as folder:
        options, out = Path(folder) / "options.json", Path(folder) / "received.npz"
        options.write_text(to_json(dataclasses.asdict(plan.options)))
        coordinator = f"127.0.0.1:{_free_port()}"
        processes = [
            _start(Path(folder) / f"{i}.log", coordinator, str(i), str(options), str(clients), out)
            for i in range(clients + 1)
        ]
        try:
            for number, process in enumerate(processes):
                if process.wait() != 0:
                    said = (Path(folder) / f"{number}.log").read_text(errors="replace")
                    who = f"client {number}" if number else "the server"
                    raise RuntimeError(f"{who} of {clients} clients failed:\n{said[-_TAIL:]}")
        finally:
            for process in processes:
                process.kill()
        with np.load(out) as received:
            return dict(received)


def _start(log: Path, *arguments: str | Path) -> subprocess.Popen:
    """One process; all are on the CPU, where they do not take an accelerator from each other."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, "-m", "experiments.jobs.federated.client", str(os.getpid())]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(paths),
                "JAX_PLATFORMS": "cpu",
                "JAX_NUM_CPU_DEVICES": "1",
            },
        )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
