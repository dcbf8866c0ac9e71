"""Finds completed runs, and what they say about claims."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.framework.claims import CLAIMS_FILE, Claim, read_claims
from experiments.framework.errors import UserError
from experiments.framework.run_directory import STATUS_FILE, is_complete
from experiments.framework.schema import command_of
from experiments.framework.trial import SWEEP_FILE
from experiments.report.page import TABLES_FILE
from experiments.tasks.canaries import NOISE


@dataclass(frozen=True)
class Run:
    """A completed run, or a sweep of runs.

    Attributes:
        name: Of its directory.
        config: Its `config.json`; of a sweep, that of its latest run.
        setting: Job, data and model in words; runs of equal words replace one another.
        seconds: How long it took; of a sweep, all of its runs.
        claims: The claims that it tested.
        tables: Its tables in Markdown; None if it has none.
        sweep: The command of a sweep; None of a single run.
        part: Whether it is one of a sweep's runs, whose claims the sweep judges over all of them.
    """

    name: str
    config: dict[str, Any]
    setting: str
    seconds: float
    claims: list[Claim]
    tables: str | None = None
    sweep: list[str] | None = None
    part: bool = False

    @property
    def time(self) -> str:
        """When it began; of a sweep, when the latest of its runs did."""
        return self.config["environment"]["time"]

    @property
    def command(self) -> list[str]:
        """The command that makes it again."""
        return self.sweep or command_of(portable(self.config))


def portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without where the run lay; of other paths of the machine, the last part."""
    return {
        name: Path(value).name if isinstance(value, str) and value.startswith("/") else value
        for name, value in config.items()
        if name not in ("out", "overwrite")
    }


@dataclass(frozen=True)
class Tested:
    """A claim, and the run that tested it; None if no job can."""

    claim: Claim
    run: Run | None = None

    @property
    def name(self) -> str:
        """Name of the run directory."""
        return self.run.name if self.run else "–"

    @property
    def setting(self) -> str:
        """Job, data and model of the run."""
        return self.run.setting if self.run else "–"


def runs_in(folders: Iterable[Path]) -> tuple[list[Run], list[str]]:
    """The completed runs and sweeps, oldest first, and why others are left out.

    Args:
        folders: Searched for run directories, at any depth.

    Raises:
        UserError: A folder does not exist.
    """
    found, left_out = [], []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--runs {folder} is no folder; run a job first, or name its folder")
        runs = [file.parent for file in sorted(folder.rglob("config.json"))]
        sweeps = [file.parent for file in sorted(folder.rglob(SWEEP_FILE))]
        for path, read in (
            *((path, _read) for path in runs if is_complete(path)),
            *((path, _read_sweep) for path in sweeps),
        ):
            try:
                if (run := read(path)) is not None:
                    found.append(run)
            except (OSError, ValueError, TypeError, KeyError) as error:
                left_out.append(f"{path.name}: {error}")
    return sorted(found, key=lambda run: run.time), left_out


def collect(runs: Sequence[Run]) -> list[Tested]:
    """Every claim by the latest run of each setting that tested it.

    What a sweep judges over its runs counts once, and not for each of them. A later run that tests
    other claims, such as one with fewer defenses, takes nothing away.

    Args:
        runs: Oldest first.
    """
    latest = {
        (run.setting, claim.key): Tested(claim, run)
        for run in runs
        if not run.part
        for claim in run.claims
    }
    return list(latest.values())


def _read(path: Path) -> Run:
    config = json.loads((path / "config.json").read_text())
    config = {"job": config["job"], "environment": config["environment"], **config}
    return Run(
        path.name,
        config,
        _setting(config),
        _seconds(path),
        read_claims(path),
        _tables(path),
        part=_is_part(path),
    )


def _read_sweep(path: Path) -> Run | None:
    """A sweep whose completed runs were gathered; None if it holds no claims over its settings."""
    claims = read_claims(path)
    if not claims:
        return None
    content = json.loads((path / SWEEP_FILE).read_text())
    runs = [run for trial in content["trials"] if is_complete(run := path / "trials" / trial)]
    configs = [json.loads((run / "config.json").read_text()) for run in runs]
    setting = f"sweep of {content['job']}; {len(content['trials'])} runs"
    latest = max(configs, key=lambda config: config["environment"]["time"])
    seconds = sum(map(_seconds, runs))
    return Run(path.name, latest, setting, seconds, claims, _tables(path), content["command"])


def _is_part(path: Path) -> bool:
    sweep = path.parent.parent
    return (sweep / SWEEP_FILE).exists() and (sweep / CLAIMS_FILE).exists()


def _tables(path: Path) -> str | None:
    file = path / TABLES_FILE
    return file.read_text() if file.exists() else None


def _seconds(path: Path) -> float:
    return json.loads((path / STATUS_FILE).read_text())["seconds"]


def _setting(config: Mapping[str, Any]) -> str:
    parts = [config["job"]]
    for name in ("dataset", "datasets", "model", "models", "train_size", "attribute"):
        if value := config.get(name):
            words = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            parts.append(f"first {words} examples" if name == "train_size" else words)
    # Of `benchmark`: runs that measure other things.
    parts += [name for name in ("inversion", "assessment", "scale") if config.get(name)]
    # Of `compare`: canaries that are further from one another than by default.
    if (noise := config.get("canary_noise", NOISE)) != NOISE:
        parts.append(f"canaries {noise:g} apart")
    return "; ".join(parts)
