"""Checks that the options of several jobs share; each names the option and what it must be."""

from collections.abc import Iterator
from typing import Any

from experiments.framework.errors import check_option


def at_least_one(options: Any, *names: str) -> None:
    """Checks counts; None passes."""
    for name in names:
        value = getattr(options, name)
        check_option(value is None or value >= 1, f"{_flag(name)} {value} must be at least 1")


def positive(options: Any, *names: str) -> None:
    """Checks that numbers, or all of several, are greater than 0."""
    for name, value in _values(options, names):
        check_option(value > 0, f"{_flag(name)} {value} must be positive")


def fractions(options: Any, *names: str) -> None:
    """Checks that numbers, or all of several, lie strictly between 0 and 1."""
    for name, value in _values(options, names):
        check_option(0 < value < 1, f"{_flag(name)} {value} must be between 0 and 1")


def shadow_models(options: Any, *names: str) -> None:
    """Checks that models come in pairs and that every target has shadow models on both sides."""
    for name in names or ("shadow_models",):
        count = getattr(options, name)
        check_option(
            count >= 4 and count % 2 == 0, f"{_flag(name)} {count} must be even and at least 4"
        )


def _values(options: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name in names:
        value = getattr(options, name)
        for one in value if isinstance(value, tuple) else (value,):
            yield name, one


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
