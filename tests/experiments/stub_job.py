"""A job of milliseconds, to test sweeps with; how it ends is an option."""

import dataclasses
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.framework.run_directory import RunDirectory


@dataclass(frozen=True)
class Options:
    """Squares a number.

    Attributes:
        x: The number.
        shape: Widths.
        mode: A name.
        limit: A whole number.
        loud: Whether to print.
        end: How to end.
        seconds: How long it takes.
        seed: Seed.
        out: Run directory.
        overwrite: Replace it.
    """

    x: float = 1.0
    shape: tuple[int, ...] = (4,)
    mode: Literal["plain", "fancy"] = "plain"
    limit: int | None = None
    loud: bool = False
    end: Literal["well", "policy", "raise", "kill", "exit"] = "well"
    seconds: float = 0.0
    seed: int = 0
    out: Path | None = None
    overwrite: bool = False


def run(options):
    """Writes x² + seed into a run directory."""
    if options.loud:
        print("working")
    directory = RunDirectory(
        options.out, {"job": __name__, **dataclasses.asdict(options)}, options.overwrite
    )
    with directory:
        directory.file("half").write_text("half")
        time.sleep(options.seconds)
        if options.end == "raise":
            raise ArithmeticError("on purpose")
        if options.end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if options.end == "exit":
            os._exit(7)
        square = options.x**2 + options.seed
        directory.write_json("summary.json", {"headline": {"square": square}, "list": [1, 2]})
    return 3 if options.end == "policy" else 0
