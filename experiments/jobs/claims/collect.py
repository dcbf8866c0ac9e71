"""Finds completed runs, and what they say about claims."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.framework.claims import CLAIMS_FILE, Claim, from_json
from experiments.framework.errors import UserError
from experiments.framework.run_directory import is_complete


@dataclass(frozen=True)
class Run:
    """A completed run.

    Attributes:
        path: Its directory.
        config: Its `config.json`.
        claims: The claims that it tested.
    """

    path: Path
    config: dict[str, Any]
    claims: list[Claim]

    @property
    def time(self) -> str:
        """When it began."""
        return self.config["environment"]["time"]

    @property
    def setting(self) -> str:
        """Job, data and model in words; runs of equal words replace one another."""
        parts = [self.config["job"]]
        for name in ("dataset", "datasets", "model", "models", "train_size", "attribute"):
            if value := self.config.get(name):
                words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                parts.append(f"first {words} examples" if name == "train_size" else words)
        return "; ".join(parts)


@dataclass(frozen=True)
class Tested:
    """A claim, and the run that tested it; None if no job can."""

    claim: Claim
    run: Run | None = None

    @property
    def name(self) -> str:
        """Name of the run directory."""
        return self.run.path.name if self.run else "–"

    @property
    def setting(self) -> str:
        """Job, data and model of the run."""
        return self.run.setting if self.run else "–"


def runs_in(folders: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """The completed runs, oldest first, and why others are left out.

    Args:
        folders: Searched for run directories, at any depth.

    Raises:
        UserError: A folder does not exist.
    """
    found, left_out = [], []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--runs {folder} is no folder; run a job first, or name its folder")
        for file in sorted(folder.rglob("config.json")):
            if not is_complete(file.parent):
                continue
            try:
                found.append(_read(file.parent))
            except (OSError, ValueError, TypeError, KeyError) as error:
                left_out.append(f"{file.parent.name}: {error}")
    return sorted(found, key=lambda run: run.time), left_out


def collect(runs: Sequence[Run]) -> list[Tested]:
    """Every claim by the latest run of each setting that tested it.

    A later run that tests other claims, such as one with fewer defenses, takes nothing away.

    Args:
        runs: Oldest first.
    """
    latest = {(run.setting, claim.key): Tested(claim, run) for run in runs for claim in run.claims}
    return list(latest.values())


def _read(path: Path) -> Run:
    config = json.loads((path / "config.json").read_text())
    file = path / CLAIMS_FILE
    claims = from_json(json.loads(file.read_text())) if file.exists() else []
    return Run(path, {"job": config["job"], "environment": config["environment"], **config}, claims)
