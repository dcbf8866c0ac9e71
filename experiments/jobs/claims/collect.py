"""Finds what completed runs say about claims."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.framework.claim import CLAIMS_FILE, Claim, from_json
from experiments.framework.errors import UserError
from experiments.framework.run_directory import is_complete


@dataclass(frozen=True)
class Tested:
    """A claim as one run tested it.

    Attributes:
        claim: The claim with its measurement and verdict.
        run: Name of the run directory.
        setting: Job, data and model of the run.
        time: When the run began.
    """

    claim: Claim
    run: str
    setting: str
    time: str


def collect(folders: Iterable[Path]) -> list[Tested]:
    """Every claim by the latest completed run of each job, data set and model that tested it.

    A later run that tests other claims, such as one with fewer defenses, takes nothing away.

    Args:
        folders: Searched for run directories, at any depth.

    Raises:
        UserError: A folder does not exist, or a run's claims cannot be read.
    """
    latest: dict[tuple[str, str], Tested] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--runs {folder} is no folder; run a job first, or name its folder")
        for file in sorted(folder.rglob(CLAIMS_FILE)):
            if not is_complete(file.parent):
                continue
            config, claims = _read(file)
            time, setting = config["environment"]["time"], _setting(config)
            for claim in claims:
                known = latest.get((setting, claim.key))
                if known is None or known.time < time:
                    latest[setting, claim.key] = Tested(claim, file.parent.name, setting, time)
    return sorted(latest.values(), key=lambda tested: tested.setting)


def _read(file: Path) -> tuple[dict[str, Any], list[Claim]]:
    try:
        config = json.loads((file.parent / "config.json").read_text())
        return config, from_json(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file} is not what a job of this version wrote: {error}") from error


def _setting(config: dict[str, Any]) -> str:
    """Job, data and model in words; runs of equal words replace one another."""
    parts = [config["job"]]
    for name in ("dataset", "datasets", "model", "models", "train_size", "attribute"):
        if value := config.get(name):
            words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            parts.append(f"first {words} examples" if name == "train_size" else words)
    return "; ".join(parts)
