"""Directories that hold one finished run, and never half of one."""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

STATUS_FILE = "status.json"
_RECORDED_PACKAGES = ("gujax", "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "polars")


class RunDirectory:
    """A directory that appears under its name only when its run has completed.

    Files are written into a hidden sibling, `.<name>.<random>.partial`, which is renamed to `path`
    when the `with` block ends well. After an exception it is renamed to `<name>.failed-<time>`
    instead, with `status.json` saying "failed" and the traceback in `traceback.txt`. A process
    that is killed leaves the hidden sibling, whose status still says "running".

    Attributes:
        path: Where the completed run lies, absolute.
        checkpoints: Where a long run may keep what it needs to go on after an interruption: a
            hidden sibling that a later run of the same configuration to the same path finds. It is
            made by whoever writes to it, and deleted when the run completes.

    Args:
        path: Where the completed run shall lie.
        config: The options of the run, written to `config.json` beside the versions in use.
        overwrite: Replace a completed run at `path`. Anything else at `path` is never replaced.

    Raises:
        FileExistsError: `path` holds a completed run and `overwrite` is false, or is something
            that is not a run directory.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], overwrite: bool = False):
        self.path = Path(path).absolute()
        self._config = dict(config)
        self.checkpoints = self.path.with_name(
            f".{self.path.name}.{config_hash(config)}.checkpoints"
        )
        self._overwrite = overwrite
        self._started = time.time()
        self._working: Path | None = None

    def __enter__(self) -> Self:
        """Makes the hidden sibling, unless `create` did."""
        if self._working is None:
            self.create()
        return self

    def create(self) -> None:
        """Makes the hidden sibling: what can go wrong with `path` goes wrong here."""
        _check_replaceable(self.path, self._overwrite)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        working = tempfile.mkdtemp(
            prefix=f".{self.path.name}.", suffix=".partial", dir=self.path.parent
        )
        self._working = Path(working)
        # mkdtemp makes the directory private; a finished run follows the user's umask.
        umask = os.umask(0)
        os.umask(umask)
        self._working.chmod(0o777 & ~umask)
        self._write_status("running")
        self.write_json("config.json", {**self._config, "environment": _environment()})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._write_status("complete")
            self._publish()
        else:
            text = "".join(traceback.format_exception(kind, error, trace))
            self.file("traceback.txt").write_text(text)
            self._write_status("failed", error=f"{type(error).__name__}: {error}")
            self._set_aside()

    def file(self, name: str) -> Path:
        """Path at which to write the run's file `name`; its folder is made."""
        if self._working is None:
            raise RuntimeError("RunDirectory is used outside of its `with` block")
        path = self._working / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_json(self, name: str, content: Any) -> None:
        """Writes `content` as indented JSON, without NaN or infinities (they become null)."""
        self.file(name).write_text(to_json(content))

    def _write_status(self, status: str, **details: Any) -> None:
        seconds = round(time.time() - self._started, 1)
        self.write_json(STATUS_FILE, {"status": status, "seconds": seconds, **details})

    def _publish(self) -> None:
        assert self._working is not None
        _check_replaceable(self.path, self._overwrite)
        if self.path.exists():
            replaced = self._working.with_suffix(".replaced")
            self.path.rename(replaced)
            self._working.rename(self.path)
            shutil.rmtree(replaced)
        else:
            self._working.rename(self.path)
        self._working = None
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def _set_aside(self) -> None:
        assert self._working is not None
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = self.path.with_name(f"{self.path.name}.failed-{stamp}")
        if not aside.exists():  # two failures in one second: the second keeps its hidden name
            self._working.rename(aside)
        self._working = None


def is_complete(path: Path) -> bool:
    """Whether `path` is a run directory whose run completed."""
    try:
        return json.loads((Path(path) / STATUS_FILE).read_text())["status"] == "complete"
    except (OSError, ValueError, KeyError, TypeError):
        return False


def config_hash(config: Mapping[str, Any]) -> str:
    """A short name for a configuration: equal for equal ones, on every machine.

    Where a run lies (`out`) and whether it replaces another (`overwrite`) are not part of it.
    """
    content = {name: value for name, value in config.items() if name not in ("out", "overwrite")}
    text = json.dumps(_plain(content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def to_json(content: Any) -> str:
    """Indented JSON of containers, paths and arrays; NaN and infinities become null."""
    return json.dumps(_plain(content), indent=2, allow_nan=False) + "\n"


def default_path(job: str) -> Path:
    """`runs/<job>-<date>-<time>` below the current directory."""
    return Path("runs") / f"{job}-{time.strftime('%Y%m%d-%H%M%S')}"


def _check_replaceable(path: Path, overwrite: bool) -> None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not is_complete(path):
        raise FileExistsError(f"'{path}' exists and is not a run directory; choose another --out")
    if not overwrite:
        raise FileExistsError(
            f"'{path}' already holds a completed run; choose another --out or pass --overwrite"
        )


def _environment() -> dict[str, Any]:
    versions: dict[str, str | None] = {}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "cpus": _usable_cpus(),
        "versions": versions,
    }


def _usable_cpus() -> int | None:
    """Cores that this process may use: fewer than there are where it is pinned to some."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _plain(value: Any) -> Any:
    """Containers, dataclass-like dicts, paths and numpy/jax scalars and arrays as JSON types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if value - value == 0 else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
