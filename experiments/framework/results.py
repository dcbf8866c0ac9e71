"""What a run measured: one tidy table, from which everything that is shown derives.

    results = Results(
        entry("test_accuracy", accuracies, defense=run.label) for run in runs
    )
    results.get("test_accuracy", defense="SGD").interval

A job's analysis makes the entries; its tables, figures, claims and summary read them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float
from numpy.typing import ArrayLike

from gujax.statistics import Interval, jackknife_half_width, mean_interval

Key = str | int | float
_OWN = ("measure", "seed", "value", "unit", "without")


@dataclass(frozen=True, eq=False)
class Measured:
    """One quantity.

    Attributes:
        values: One value per seed, [seeds]; NaN where a seed has none. A quantity that was measured
            only once has one value, and an interval without ends.
        unit: Such as "nats" or "s"; empty for pure numbers.
        without: Means over seeds where one of several random groups of examples is left out,
            [groups], of a quantity whose interval counts the choice of examples; else None.
    """

    values: Float[np.ndarray, " seeds"]
    unit: str = ""
    without: Float[np.ndarray, " groups"] | None = None

    @cached_property
    def interval(self) -> Interval:
        """Mean over seeds and its 95 % interval; seeds without a value are left out.

        A t-interval over seeds. With `without` its half-width and that of the jackknife over
        examples are added as independent errors are: seeds alone say nothing of an error that the
        same examples make in all of them. What belongs to a pair of seed and example is counted
        twice, so such an interval is rather too wide.
        """
        over_seeds = mean_interval(self.values)
        if self.without is None:
            return over_seeds
        half = np.hypot(over_seeds.half_width, jackknife_half_width(self.without))
        return Interval(over_seeds.mean, over_seeds.mean - half, over_seeds.mean + half)

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return self.interval.mean

    @property
    def of_every_seed(self) -> Interval:
        """The interval, without ends where a seed has no value: it may be the one that fails."""
        if np.isnan(self.values).any():
            return Interval(self.mean, float("nan"), float("nan"))
        return self.interval

    @property
    def share(self) -> Interval:
        """The interval of a share, cut where it leaves what a share can be."""
        mean, low, high = self.interval
        return Interval(mean, float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1)))

    def __sub__(self, other: "Measured | float") -> "Measured":
        """The difference, paired by seed and by what is left out."""
        return self._with(other, np.subtract, self.unit)

    def __neg__(self) -> "Measured":
        return self * -1.0

    def __mul__(self, factor: float) -> "Measured":
        return self._with(factor, np.multiply, self.unit)

    def __truediv__(self, other: "Measured | float") -> "Measured":
        """The ratio, paired by seed and by what is left out."""
        return self._with(other, np.divide, "")

    def _with(self, other: "Measured | float", combine: np.ufunc, unit: str) -> "Measured":
        one, two = self, other if isinstance(other, Measured) else Measured(np.array([other]))
        without = None
        if one.without is not None or two.without is not None:
            parts = (m.mean if m.without is None else m.without for m in (one, two))
            without = combine(*parts)
        return Measured(combine(one.values, two.values), unit, without)


class Entry(NamedTuple):
    """A quantity, its name, and what it is a quantity of."""

    measure: str
    measured: Measured
    keys: Mapping[str, Key]


def entry(measure: str, values: ArrayLike | None, unit: str = "", /, **keys: Key) -> Entry:
    """One quantity.

    Args:
        measure: Its name, such as "test_accuracy".
        values: One value per seed, or a single one; None is an unknown value.
        unit: Its unit; empty for pure numbers.
        **keys: What it is a quantity of, such as ``defense="SGD"``. Strings, or numbers such as
            that of a class.
    """
    numbers = np.atleast_1d(np.asarray(values, float))
    if numbers.ndim != 1:
        raise ValueError(f"{measure}: values have shape {numbers.shape}; give one per seed")
    if taken := [name for name in keys if name in _OWN]:
        raise ValueError(f"{measure}: {taken[0]!r} is a column of every table, not a key")
    return Entry(measure, Measured(numbers, unit), keys)


def leaving_out(entries: Iterable[Entry], without: Sequence[Iterable[Entry]]) -> Iterator[Entry]:
    """Entries whose intervals count the choice of examples as well.

    Args:
        entries: Those of all examples.
        without: The same entries, in the same order, where a group of examples is left out, for
            each of several random groups.
    """
    for (measure, measured, keys), *others in zip(entries, *without, strict=True):
        means = np.array([other.measured.mean for other in others])
        yield Entry(measure, replace(measured, without=means), keys)


class Results:
    """Quantities by measure and keys, in the order in which they were given.

    Args:
        entries: Made by `entry`; no two of the same measure and keys.
    """

    def __init__(self, entries: Iterable[Entry]):
        self.entries = tuple(entries)
        self._found: dict[tuple[str, frozenset], Measured] = {}
        for measure, measured, keys in self.entries:
            place = measure, frozenset(keys.items())
            if place in self._found:
                raise ValueError(f"{measure} of {dict(keys)} is given twice")
            self._found[place] = measured

    def get(self, measure: str, **keys: Key) -> Measured:
        """The quantity of this measure and exactly these keys.

        Raises:
            KeyError: It was not measured.
        """
        found = self.find(measure, **keys)
        if found is None:
            raise KeyError(f"{measure} of {keys} was not measured")
        return found

    def find(self, measure: str, **keys: Key) -> Measured | None:
        """The quantity of this measure and exactly these keys; None if it was not measured."""
        return self._found.get((measure, frozenset(keys.items())))

    def where(self, **keys: Key) -> "Results":
        """The entries with these keys, which are taken off them."""
        return Results(
            Entry(name, measured, {k: v for k, v in has.items() if k not in keys})
            for name, measured, has in self.entries
            if keys.items() <= has.items()
        )

    def groups(self, *names: str) -> Iterator[tuple[tuple[Any, ...], "Results"]]:
        """Every combination of values of these keys, with its entries, as `where` gives them.

        Entries without one of the keys belong to no group.
        """
        combinations = dict.fromkeys(
            tuple(keys[name] for name in names)
            for _, _, keys in self.entries
            if all(name in keys for name in names)
        )
        for values in combinations:
            yield values, self.where(**dict(zip(names, values)))

    def values(self, name: str) -> list[Any]:
        """The values of a key, in order of their first appearance."""
        return list(dict.fromkeys(keys[name] for _, _, keys in self.entries if name in keys))

    def along(self, name: str, measure: str, /, **keys: Key) -> tuple[list[Any], list[Interval]]:
        """The values of a key at which a measure has exactly these others, and its intervals."""
        found = [
            (has[name], measured.interval)
            for taken, measured, has in self.entries
            if taken == measure and name in has and has == {**keys, name: has[name]}
        ]
        return [value for value, _ in found], [interval for _, interval in found]

    def frame(self) -> pl.DataFrame:
        """The tidy table: one row per measure, keys and seed.

        Columns are the keys (null where an entry has no such key), measure, seed (null for what was
        measured once), value (null where unknown), unit, and without, see `Measured` (null where
        there is none).
        """
        names = dict.fromkeys(name for _, _, keys in self.entries for name in keys)
        rows = []
        for measure, measured, keys in self.entries:
            once = len(measured.values) == 1
            for seed, value in enumerate(measured.values.tolist()):
                row = {name: keys.get(name) for name in names}
                known = value if value == value else None
                rows.append(
                    {
                        **row,
                        "measure": measure,
                        "seed": None if once else seed,
                        "value": known,
                        "unit": measured.unit,
                        "without": None if measured.without is None else measured.without.tolist(),
                    }
                )
        schema: dict[str, Any] = {"measure": pl.String, "seed": pl.Int64}
        schema |= {"value": pl.Float64, "unit": pl.String, "without": pl.List(pl.Float64)}
        frame = pl.DataFrame(rows, infer_schema_length=None)
        return frame.cast({name: kind for name, kind in schema.items() if name in frame.columns})

    @classmethod
    def read(cls, path: Path) -> "Results":
        """The results of a run, from the table that `frame` gave."""
        entries: dict[tuple, list[dict[str, Any]]] = {}
        for row in pl.read_parquet(path).iter_rows(named=True):
            keys = {k: v for k, v in row.items() if k not in _OWN and v is not None}
            entries.setdefault((row["measure"], tuple(keys.items())), []).append(row)
        return cls(
            _entry_of(measure, dict(keys), rows) for (measure, keys), rows in entries.items()
        )

    def summary(self) -> dict[str, Any]:
        """Every quantity with its interval, nested by its keys, as JSON types."""
        nested: dict[str, Any] = {}
        for measure, measured, keys in self.entries:
            place = nested
            for value in keys.values():
                place = place.setdefault(str(value), {})
            place[measure] = summarized(measured)
        return nested


def summarized(measured: Measured) -> Any:
    """Mean, ends of the interval and values of a quantity, or its only value, as JSON types."""
    if len(measured.values) == 1:
        return measured.mean
    return {**measured.interval._asdict(), "per_seed": measured.values.tolist()}


def _entry_of(measure: str, keys: dict[str, Key], rows: Sequence[Mapping[str, Any]]) -> Entry:
    """The quantity of these rows of a table."""
    values = np.array([row["value"] for row in rows], float)
    without = rows[0].get("without")  # tables of earlier versions have no such column
    parts = None if without is None else np.array(without)
    return Entry(measure, Measured(values, rows[0]["unit"], parts), keys)
