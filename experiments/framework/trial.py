"""One trial of a sweep, and what became of it."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from experiments.framework.run_directory import config_hash
from experiments.framework.schema import to_arguments

SWEEP_FILE = "sweep.json"  # in a sweep's directory: what it consists of


@dataclass(frozen=True)
class Trial:
    """A job with one full configuration; where the run lies is left open."""

    job: str
    options: Any

    @cached_property
    def id(self) -> str:
        """Hash of the full configuration: names the trial's run directory."""
        return config_hash({"job": self.job, **dataclasses.asdict(self.options)})

    @property
    def command(self) -> list[str]:
        """Job and options, as they follow `python -m experiments`."""
        return [self.job, *to_arguments(self.options)]

    def describe(self, names: tuple[str, ...]) -> str:
        """The named options in words."""
        return ", ".join(f"{name}={show(getattr(self.options, name))}" for name in names)


class Outcome(NamedTuple):
    """How a trial ended.

    Attributes:
        reason: Why it failed, in one line; None if it is done.
        traceback: What its log says about the failure.
    """

    trial: Trial
    reason: str | None = None
    traceback: str = ""


class Tick(NamedTuple):
    """What a backend reports now and then: what ended since, and how many trials run now."""

    outcomes: list[Outcome]
    running: int


def show(value: Any) -> str:
    """The value of an option, as short as can be."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(show, value)) if len(value) else "()"
    return f"{value:g}" if isinstance(value, float) else str(value)
