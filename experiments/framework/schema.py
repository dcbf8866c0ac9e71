"""A job's typed options as data: read from text with the job's own types, written as arguments."""

import dataclasses
import difflib
import inspect
import io
import typing
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import tyro

from experiments.framework.command_line import load_job
from experiments.framework.errors import UserError
from experiments.framework.options import PLACE, flag, options


class Schema:
    """The options of one job; raises `UserError` where there is none of this name."""

    def __init__(self, job: str):
        self.job = job
        self._options = load_job(job).Options
        self._types = typing.get_type_hints(self._options)
        self._checked = typing.get_type_hints(self._options, include_extras=True)
        self.names = tuple(
            field.name for field in dataclasses.fields(self._options) if field.name not in PLACE
        )

    def name(self, text: str) -> str:
        """The option that `text` names; dashes count as underscores.

        Raises:
            UserError: The job has no such option, or the sweep sets it.
        """
        name = text.strip().lstrip("-").replace("-", "_")
        if name in PLACE:
            raise UserError(
                f"option {name} is set by the sweep, which names every trial's directory"
            )
        if name not in self.names:
            near = difflib.get_close_matches(name, self.names, 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(self.names)}"
            raise UserError(f"job {self.job} has no option '{text}'; {hint}")
        return name

    def read(self, name: str, words: Sequence[str]) -> Any:
        """The value of option `name` that its words on the job's command line give.

        It is checked by itself: whether it goes with others is for `options` to say.

        Raises:
            UserError: They do not give one.
        """
        alone: Any = options(type(name, (), {"__annotations__": {name: self._checked[name]}}))
        silence = io.StringIO()
        try:
            with redirect_stdout(silence), redirect_stderr(silence):
                parsed = tyro.cli(
                    alone, args=[flag(name), *words], config=(tyro.conf.FlagConversionOff,)
                )
        except SystemExit:
            kind = inspect.formatannotation(self._types[name]).replace("typing.", "")
            raise UserError(
                f"'{' '.join(words)}' is not a value of option {name} of job {self.job}, "
                f"which takes {kind}"
            ) from None
        return getattr(parsed, name)

    def options(self, values: Mapping[str, Any]) -> Any:
        """The job's `Options` with these values and its defaults for the others."""
        return self._options(**values)

    def from_json(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Values of options that were read from a JSON object.

        Raises:
            UserError: An option is unknown, or a value has the wrong type.
        """
        values = {}
        for key, value in entry.items():
            name = self.name(key)
            values[name] = self.read(name, _words(value))
        return values


def to_arguments(options: Any) -> list[str]:
    """The command line that gives these options, without those that have their default."""
    arguments = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in PLACE or value == field.default:
            continue
        if isinstance(value, bool):
            arguments.append(flag(field.name) if value else flag(f"no_{field.name}"))
        else:
            arguments += [flag(field.name), *_words(value)]
    return arguments


def command_of(config: Mapping[str, Any]) -> list[str]:
    """The command that makes a run with this `config.json` again."""
    schema = Schema(config["job"])
    given = {name: config[name] for name in schema.names if config.get(name) is not None}
    options = schema.options(schema.from_json(given))
    return ["python", "-m", "experiments", config["job"], *to_arguments(options)]


def _words(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, (list, tuple)) else (value,))]
