"""The record of a search: the file that recipes are read from."""

import dataclasses
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.jobs.tune.options import Options
from experiments.jobs.tune.trials import Row
from experiments.tasks.recipe import Recipe, recipe_key


def search_record(
    options: Options, model_name: str, search: Sequence[Row], finals: Sequence[Row]
) -> dict[str, Any]:
    """The best recipe of each defense, with the whole search and the finals."""
    best: dict[str, Row] = {}
    epochs = {(row.defense, row.recipe.epochs) for row in search}

    def names(row: Row) -> list[str]:
        """What it may become the recipe for: its defense, and that for as many epochs."""
        of, key = row.defense, recipe_key(row.defense.family, row.defense.epsilon)
        if sum(defense == of for defense, _ in epochs) == 1:
            return [key]
        return [key, recipe_key(of.family, of.epsilon, row.recipe.epochs)]

    order = [(row.defense, row.recipe) for row in search]
    # Equal accuracies go to what the search tried first.
    for row in sorted(finals, key=lambda row: order.index((row.defense, row.recipe))):
        for name in names(row):
            best[name] = max(best.get(name, row), row, key=lambda row: round(row.accuracy, 5))
    return {
        "dataset": options.dataset,
        "model": model_name,
        "command": _command(sys.argv[2:]),
        "selected_by": "highest mean accuracy on the half of the training split not trained on, "
        f"over {options.final_repeats} fresh halves, among the {options.finalists} best of a "
        f"search on {options.repeats} halves",
        "tried": {
            name: sum(row.defense == chosen.defense and name in names(row) for row in search)
            for name, chosen in best.items()
        },
        "recipes": {name: dataclasses.asdict(row.recipe) for name, row in best.items()},
        "accuracy": {name: round(row.accuracy, 5) for name, row in best.items()},
        "columns": ["defense", *(field.name for field in dataclasses.fields(Recipe)), "accuracy"],
        "finals": _cells(finals),
        "search": _cells(search),
    }


def _command(arguments: Sequence[str]) -> str:
    """The command line of the search, without where its results went."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument not in ("--out", "--overwrite"):
            kept.append(argument)
        skip = argument == "--out"
    return shlex.join(["python", "-m", "experiments", "tune", *kept])


def _cells(rows: Sequence[Row]) -> list[list[Any]]:
    return [
        [
            recipe_key(row.defense.family, row.defense.epsilon),
            *dataclasses.astuple(row.recipe),
            round(row.accuracy, 5),
        ]
        for row in rows
    ]


def to_json(record: Mapping[str, Any]) -> str:
    """JSON with one line per configuration."""
    entries = ",\n  ".join(f"{json.dumps(name)}: {_lines(it)}" for name, it in record.items())
    return f"{{\n  {entries}\n}}\n"


def _lines(value: Any) -> str:
    """JSON in one line, or a line per entry where the entries have entries of their own."""
    inside = list(value.values()) if isinstance(value, Mapping) else value
    if not inside or not isinstance(inside, list) or not isinstance(inside[0], (list, dict)):
        return json.dumps(value)
    lines = list(map(json.dumps, inside))
    opening, closing = "[]"
    if isinstance(value, Mapping):
        opening, closing = "{}"
        lines = [f"{json.dumps(name)}: {line}" for name, line in zip(value, lines)]
    return opening + "\n    " + ",\n    ".join(lines) + f"\n  {closing}"
