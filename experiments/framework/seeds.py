"""Numbers that were measured once per seed, as summaries hold them and tables show them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.report.formats import format_interval
from gujax.statistics import Interval, mean_interval


def over_seeds(values: Sequence[float] | Float[np.ndarray, " seeds"]) -> dict[str, Any]:
    """Mean, ends of its 95 % t-interval and the values themselves, as JSON types."""
    values = np.asarray(values, float)
    return {**mean_interval(values)._asdict(), "per_seed": values.tolist()}


def differences(larger: Mapping[str, Any], smaller: Mapping[str, Any]) -> dict[str, Any]:
    """The difference of two results of `over_seeds`, paired by seed."""
    return over_seeds(np.subtract(larger["per_seed"], smaller["per_seed"]))


def interval(entry: Mapping[str, Any]) -> Interval:
    """Mean and interval of a result of `over_seeds`."""
    return Interval(entry["mean"], entry["low"], entry["high"])


def of_every_seed(entry: Mapping[str, Any]) -> Interval:
    """The same, with unknown ends where a seed has no value: it may be the one that fails."""
    known = interval(entry)
    if np.isnan(entry["per_seed"]).any():
        return Interval(known.mean, float("nan"), float("nan"))
    return known


def share(entry: Mapping[str, Any]) -> Interval:
    """The same of a share: a symmetric interval may leave what a share can be, and is cut there."""
    mean, low, high = interval(entry)
    return Interval(mean, float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1)))


def percent(entry: Mapping[str, Any], digits: int = 1) -> str:
    """A result of `over_seeds` in percent, with its interval."""
    return format_interval(interval(entry), percent=True, digits=digits)


def number(entry: Mapping[str, Any], digits: int) -> str:
    """A result of `over_seeds` with its interval."""
    return format_interval(interval(entry), digits=digits)
