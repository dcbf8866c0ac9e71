"""The search space: grids, lists and random ranges over a job's options."""

import itertools
import json
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.framework.errors import UserError, check_option
from experiments.framework.schema import Schema
from experiments.framework.trial import Trial

Values = dict[str, Any]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"(log:)?({_NUMBER}):({_NUMBER})")
_DIGITS = 4  # of a drawn number: enough to search, short enough to read


def read_grid(schema: Schema, texts: Sequence[str]) -> list[Values]:
    """All combinations of `option=value,value,…`.

    The values of an option are separated by commas. Those of a tuple are written as on the job's
    own command line, with spaces: ``hidden=64,256 128`` is (64,), then (256, 128).
    """
    named = [_setting("--grid", schema, text) for text in texts]
    return _product([{name: v} for v in _list(schema, name, values)] for name, values in named)


def read_fixed(schema: Schema, texts: Sequence[str]) -> list[Values]:
    """The one combination of `option=value`, where commas separate nothing."""
    named = [_setting("--set", schema, text) for text in texts]
    return _product([{name: schema.read(name, _split(value))}] for name, value in named)


def read_samples(schema: Schema, texts: Sequence[str], number: int, seed: int) -> list[Values]:
    """Random draws: `option=low:high`, `option=log:low:high`, or `option=value,value,…`.

    Draw i depends on i and the seed only: a larger number of draws begins with the same ones.
    """
    drawers = [_drawer(schema, *_setting("--sample", schema, text)) for text in texts]
    if not drawers:
        return [{}]
    draws = []
    for index in range(number):
        rng = np.random.default_rng([seed, index])
        draws.append({name: draw(rng) for name, draw in drawers})
    return draws


def read_configs(schema: Schema, path: Path | None) -> list[Values]:
    """A JSON list of objects, each with the options of one configuration."""
    if path is None:
        return [{}]
    try:
        entries = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"--configs {path} cannot be read: {error}") from error
    is_list = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
    check_option(is_list and len(entries) > 0, f"--configs {path} must hold a JSON list of objects")
    return [schema.from_json(entry) for entry in entries]


def read_seeds(schema: Schema, number: int | None) -> list[Values]:
    """Seeds 0 to N − 1 of a job with the option `seed`; else its own number of `seeds`.

    A job with `seeds` repeats everything within one run, and gives intervals over the repeats.
    """
    if number is None:
        return [{}]
    if "seed" in schema.names:
        return [{"seed": seed} for seed in range(number)]
    if "seeds" in schema.names:
        return [{"seeds": schema.read("seeds", [str(number)])}]
    raise UserError(f"job {schema.job} has no option seed or seeds; leave --seeds out")


def all_trials(schema: Schema, *axes: Iterable[Values]) -> list[Trial]:
    """Every combination once, the last axis fastest.

    Raises:
        UserError: Two axes set the same option.
    """
    combinations = _product(axes)
    trials = (Trial(schema.job, schema.options(values)) for values in combinations)
    return list({trial.id: trial for trial in trials}.values())


def _product(axes: Iterable[Iterable[Values]]) -> list[Values]:
    combinations = []
    for parts in itertools.product(*axes):
        combined: Values = {}
        for part in parts:
            for name in part.keys() & combined.keys():
                raise UserError(
                    f"option {name} is given twice; give all of its values in one place"
                )
            combined |= part
        combinations.append(combined)
    return combinations


def _setting(flag: str, schema: Schema, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    check_option(bool(equals), f"{flag} '{text}' is not of the form option=value")
    return schema.name(name), value


def _list(schema: Schema, name: str, text: str) -> list[Any]:
    return [schema.read(name, _split(part)) for part in text.split(",")]


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(f"cannot read '{text}': {error}") from error


def _drawer(schema: Schema, name: str, text: str):
    """The option and a function from a generator to its value."""
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        values = _list(schema, name, text)
        return name, lambda rng: values[rng.integers(len(values))]
    logarithmic, low, high = bool(found[1]), float(found[2]), float(found[3])
    check_option(low < high, f"--sample {name}={text}: the lower end must come first")
    check_option(low > 0 or not logarithmic, f"--sample {name}={text}: log needs positive ends")
    whole = _takes_whole_numbers(schema, name)

    def draw(rng: np.random.Generator) -> Any:
        ends = np.log([low, high]) if logarithmic else [low, high]
        value = rng.uniform(*ends)
        value = np.exp(value) if logarithmic else value
        word = str(round(value)) if whole else repr(float(f"{value:.{_DIGITS}g}"))
        return schema.read(name, [word])

    return name, draw


def _takes_whole_numbers(schema: Schema, name: str) -> bool:
    """Whether the option, or its elements, are integers; an error if it takes no number."""
    try:
        schema.read(name, ["0.5"])
    except UserError:
        schema.read(name, ["1"])
        return True
    return False
