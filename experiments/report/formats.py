"""Numbers as cells of a table: a format maps what was measured to text."""

from collections.abc import Callable

import numpy as np

from experiments.framework.results import Measured
from gujax.statistics import Interval

UNKNOWN = "–"

Format = Callable[[Measured], str]


def number(digits: int) -> Format:
    """`"0.952 ± 0.004"`; without the ± part where the interval is unknown."""
    return lambda measured: format_interval(measured.interval, digits=digits)


def percent(digits: int = 1) -> Format:
    """A share in percent, `"95.2 ± 0.4"`."""
    return lambda measured: format_interval(measured.interval, percent=True, digits=digits)


def share(digits: int = 1) -> Format:
    """A share that may lie near 0 or 1, in percent: `"9.1 (0.0 to 40.4)"`.

    Where all seeds agree, nothing is known of how they differ: `"0.0 in every seed"`.
    """

    def show(measured: Measured) -> str:
        if measured.interval.low == measured.interval.high:
            return f"{100 * measured.mean:.{digits}f} in every seed"
        return format_range(measured.interval, digits)

    return show


def plain(spec: str, scale: float = 1.0, suffix: str = "") -> Format:
    """The mean alone, by a format specification: `plain(".3g")`, `plain(".2f", suffix="×")`."""

    def show(measured: Measured) -> str:
        value = scale * measured.mean
        return UNKNOWN if np.isnan(value) else f"{value:{spec}}{suffix}"

    return show


def format_interval(interval: Interval, percent: bool = False, digits: int = 1) -> str:
    """`"95.2 ± 0.4"`; without the ± part where the interval is unknown."""
    scale = 100.0 if percent else 1.0
    if np.isnan(interval.mean):
        return UNKNOWN
    text = f"{scale * interval.mean:.{digits}f}"
    if np.isnan(interval.low):
        return text
    return f"{text} ± {scale * interval.half_width:.{digits}f}"


def format_range(interval: Interval, digits: int = 1) -> str:
    """A share in percent with its interval, as far as a share can be: `"9.1 (8.0 to 10.4)"`."""
    if np.isnan(interval.mean):
        return UNKNOWN
    mean, low, high = (f"{100 * np.clip(value, 0, 1):.{digits}f}" for value in interval)
    return mean if np.isnan(interval.low) else f"{mean} ({low} to {high})"


def points(share: float) -> str:
    """A difference of shares in percentage points: "1 point", "2 points"."""
    return f"{100 * share:g} point{'' if 100 * share == 1 else 's'}"


def signed(text: str) -> str:
    """A number in words with its sign, also where it is positive."""
    return text if text.startswith(("-", UNKNOWN)) else f"+{text}"


def significant(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, without an exponent where it is large."""
    return f"{value:,.0f}" if abs(value) >= 10**digits - 0.5 else f"{value:.{digits}g}"
