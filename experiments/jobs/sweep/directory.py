"""The directory of a sweep: what it consists of, and what of it is done."""

import dataclasses
import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from experiments.framework.errors import UserError, check_option
from experiments.framework.options import PLACE
from experiments.framework.run_directory import is_complete, to_json
from experiments.framework.schema import Schema
from experiments.framework.trial import SWEEP_FILE, Trial
from experiments.jobs.sweep.node import TOKEN_FILE

_LOCK = ".lock"
_PROBE_BYTES = 2**20


class SweepDirectory:
    """Run directories of trials in `trials/`, their output in `logs/`, the sweep in `sweep.json`.

    Attributes:
        path: The directory, absolute.
        token: By which other machines tell whether they see the same directory.
    """

    def __init__(self, path: Path):
        self.path = Path(path).absolute()
        self.token = secrets.token_hex()

    def run(self, trial: Trial) -> Path:
        """The run directory of a trial; there only when the trial is done."""
        return self.path / "trials" / trial.id

    def log(self, trial: Trial) -> Path:
        """What the trial's process writes to its output."""
        return self.path / "logs" / f"{trial.id}.log"

    def is_done(self, trial: Trial) -> bool:
        """Whether the trial's run completed."""
        return is_complete(self.run(trial))

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Makes the directory and keeps other sweeps out of it.

        Raises:
            UserError: It cannot be written to, or a sweep is at work in it.
        """
        with self._writing():
            for folder in ("trials", "logs"):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            lock = (self.path / _LOCK).open("a+")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UserError(
                    f"a sweep is at work in '{self.path}'; wait for it, or choose another --out"
                ) from None
            with self._writing():
                self._probe()
                self.write(TOKEN_FILE, self.token)
            yield

    def recorded(self) -> list[Trial] | None:
        """The trials of the sweep that was started here, if one was.

        Raises:
            UserError: Something else lies here, or the job has other options by now.
        """
        path = self.path / SWEEP_FILE
        if not path.exists():
            empty = not self.path.exists() or not any(self.path.iterdir())
            ours = (self.path / _LOCK).exists()  # a sweep that was killed before it began
            check_option(
                empty or ours, f"'{self.path}' holds something, but no sweep; choose another --out"
            )
            return None
        try:
            content = json.loads(path.read_text())
            job, configs = content["job"], content["trials"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"'{path}' cannot be read: {error}") from error
        schema = Schema(job)
        trials = [
            Trial(job, schema.options(schema.from_json(config))) for config in configs.values()
        ]
        check_option(
            [trial.id for trial in trials] == list(configs),
            f"the options of job {job} have changed since the sweep in '{self.path}' was started; "
            "start it anew in another --out",
        )
        return trials

    def record(self, trials: Sequence[Trial], command: Sequence[str]) -> None:
        """Writes down what the sweep consists of, and the command that makes it."""
        configs = {trial.id: config(trial) for trial in trials}
        content = {"job": trials[0].job, "command": command, "trials": configs}
        self.write(SWEEP_FILE, to_json(content))

    def file(self, name: str) -> Path:
        """Path at which to write the sweep's file `name`; its folder is made."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name: str, content: str | bytes) -> None:
        """Writes a file that is there as a whole or not at all."""
        path = self.path / name
        temporary = path.with_name(f".{path.name}.partial")
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"cannot write to '{self.path}': {error.strerror}; choose another --out"
            ) from error

    def _probe(self) -> None:
        """A small write: a full disk is better found now than by every trial."""
        with tempfile.TemporaryFile(dir=self.path / "trials") as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())


def config(trial: Trial) -> dict:
    """The options that make up the trial's configuration."""
    values = dataclasses.asdict(trial.options)
    return {name: value for name, value in values.items() if name not in PLACE}
