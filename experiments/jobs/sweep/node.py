"""What runs on a node of a Ray cluster; it imports little, since every worker does."""

import io
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.framework.process import start

# In the sweep's directory; with it, nodes find out whether they see the directory.
TOKEN_FILE = ".token"


class Result(NamedTuple):
    """What a node sends back.

    Attributes:
        archive: Its run directory as a tar file; None if it lies in place, or did not complete.
    """

    code: int
    log: str
    archive: bytes | None


def run_trial(
    command: Sequence[str], out: Path, token: str, folder: str, environment: dict[str, str]
) -> Result:
    """Runs on a node."""
    if _sees(out.parents[1], token):
        return Result(*_execute(command, out, folder, environment), None)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / out.name
        code, log = _execute(command, place, folder, environment)
        return Result(code, log, _pack(place) if place.is_dir() else None)


def _sees(path: Path, token: str) -> bool:
    """Whether `path` is, on this machine too, the directory of the sweep with this token."""
    try:
        return (path / TOKEN_FILE).read_text() == token
    except OSError:
        return False


def _execute(
    command: Sequence[str], out: Path, folder: str, environment: dict[str, str]
) -> tuple[int, str]:
    """Exit code and output of a trial."""
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        process = start(command, out, log, environment, folder if Path(folder).is_dir() else None)
        return process.wait(), log.read_text(errors="replace")


def _pack(run: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(run, arcname=".")
    return buffer.getvalue()
