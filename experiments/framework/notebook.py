"""Results of jobs for notebooks: made where they are missing, else found again."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from experiments.framework.claims import Claim, read_claims
from experiments.framework.errors import UserError
from experiments.framework.process import failure, start
from experiments.framework.run_directory import is_complete
from experiments.framework.trial import Trial


@dataclass(frozen=True)
class Result:
    """A completed run, in its directory."""

    path: Path

    @property
    def summary(self) -> Any:
        """What `summary.json` holds."""
        return json.loads((self.path / "summary.json").read_text())

    @property
    def claims(self) -> list[Claim]:
        """The claims that it tested."""
        return read_claims(self.path)

    def figure(self, name: str) -> str:
        """File of one of its figures, a PNG.

        Raises:
            UserError: It has no such figure.
        """
        file = self.path / "figures" / f"{name}.png"
        if not file.exists():
            names = ", ".join(sorted(path.stem for path in file.parent.glob("*.png")))
            raise UserError(f"{self.path.name} has no figure {name!r}; it has {names}")
        return str(file)

    def frame(self, name: str) -> pl.DataFrame:
        """One of its Parquet tables."""
        return pl.read_parquet(self.path / f"{name}.parquet")


def obtain(job: str, options: Any, folder: Path = Path("runs")) -> Result:
    """The result of a job with these options; the job is run, in a process of its own, if need be.

    Args:
        options: Its options. `out` and `overwrite` have no effect.
        folder: Where run directories are looked for and made, named by a hash of the options.

    Raises:
        UserError: The job failed.
    """
    trial = Trial(job, options)
    path = folder / f"{job}-{trial.id}"
    if not is_complete(path):
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{path.name}.log"
        code = start(trial.command, path, log).wait()
        if code or not is_complete(path):
            raise UserError(failure(code, log.read_text(errors="replace"))[0] + f"; see {log}")
    return Result(path)
