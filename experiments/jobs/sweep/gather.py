"""All trials of a sweep in one table."""

import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import polars as pl

from experiments.framework.claims import Claim
from experiments.framework.job import HEADLINE
from experiments.framework.run_directory import to_json
from experiments.framework.trial import Outcome, Trial
from experiments.jobs.sweep.directory import SweepDirectory, config
from experiments.report.page import NAMES_FILE

TABLE = "trials.parquet"
FAILURES = "failures.json"


def gather(
    directory: SweepDirectory, trials: Sequence[Trial], failed: Sequence[Outcome]
) -> pl.DataFrame:
    """Writes `trials.parquet` and `failures.json`; returns the table.

    One row per trial, in the order of the sweep: its id, every option, its status, then every
    number of the trial's `summary.json` under its dotted path, and the seconds the trial took.
    """
    reasons = {outcome.trial.id: outcome.reason for outcome in failed}
    rows = []
    for trial in trials:
        reason = reasons.get(trial.id)
        row = {"trial": trial.id, **json.loads(to_json(config(trial)))}
        row |= {"status": "done" if reason is None else "failed", "reason": reason}
        if reason is None:
            row |= numbers(directory.run(trial))
            row["seconds"] = _json(directory.run(trial) / "status.json")["seconds"]
        rows.append(row)
    table = pl.DataFrame(rows, infer_schema_length=None)
    if "seconds" in table.columns:  # what differs by chance comes last
        table = table.select(pl.exclude("seconds"), "seconds")
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    directory.write(TABLE, buffer.getvalue())
    directory.write(FAILURES, to_json([_failure(outcome, directory) for outcome in failed]))
    return table


def measures(
    table: pl.DataFrame, patterns: Sequence[str], claims: Sequence[Claim] = ()
) -> list[str]:
    """Names of the numbers by which trials are compared.

    A number with an interval, whose columns end in `.mean`, `.low` and `.high`, is one of them.

    Args:
        table: Made by `gather`.
        patterns: Which ones, such as "defenses.*.test_accuracy"; if empty, the job's headline, or,
            of a job that names none, what its claims are about; without claims, the single numbers
            that differ between trials.
        claims: Those of the sweep.
    """
    numeric = {name: None for name in table.columns if "." in name}
    bases = list(dict.fromkeys(_without_ending(name, numeric) for name in numeric))
    if patterns:
        return [name for name in bases if any(fnmatchcase(name, pattern) for pattern in patterns)]
    headline = [name for name in bases if name.startswith(f"{HEADLINE}.")]
    if headline or claims:
        return headline
    return [
        name
        for name in bases
        if not any(part.isdigit() for part in name.split("."))
        and values_of(table, name)["mean"].drop_nulls().n_unique() > 1
    ]


def names_in(runs: Iterable[Path]) -> dict[str, str]:
    """What the pages of runs call their measures; the first to name one counts."""
    found: dict[str, str] = {}
    for run in runs:
        path = run / NAMES_FILE
        found = {**(_json(path) if path.exists() else {}), **found}
    return found


def values_of(table: pl.DataFrame, measure: str) -> pl.DataFrame:
    """Columns mean, low and high of a measure, one row per trial; null where unknown."""
    unknown = pl.lit(None, pl.Float64)
    if measure in table.columns:
        return table.select(pl.col(measure).alias("mean"), low=unknown, high=unknown)
    return table.select(**{end: pl.col(f"{measure}.{end}") for end in ("mean", "low", "high")})


def _without_ending(name: str, names: Collection[str]) -> str:
    base, _, end = name.rpartition(".")
    whole = all(f"{base}.{other}" in names for other in ("mean", "low", "high"))
    return base if end in ("mean", "low", "high") and whole else name


def numbers(run: Path) -> dict[str, float]:
    """Every number in the run's `summary.json`, by its dotted path."""
    path = run / "summary.json"
    return dict(_flatten(_json(path), ())) if path.exists() else {}


def _flatten(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flatten(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _flatten(item, (*path, str(index)))
    elif isinstance(value, (int, float)):
        yield ".".join(path if len(path) > 1 else ("summary", *path)), float(value)


def _failure(outcome: Outcome, directory: SweepDirectory) -> dict[str, Any]:
    return {
        "trial": outcome.trial.id,
        "command": outcome.trial.command,
        "reason": outcome.reason,
        "traceback": outcome.traceback,
        "log": str(directory.log(outcome.trial).relative_to(directory.path)),
    }


def _json(path: Path) -> Any:
    return json.loads(path.read_text())
