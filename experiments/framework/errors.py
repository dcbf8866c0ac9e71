"""Mistakes of the user, told in one sentence instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class UserError(Exception):
    """What is wrong with the request, and what to do about it."""


@contextmanager
def as_user_error(*kinds: type[Exception]) -> Iterator[None]:
    """Turns exceptions of these kinds, raised by checks of user input, into `UserError`."""
    try:
        yield
    except kinds as error:
        raise UserError(str(error)) from error


def check_option(condition: bool, message: str) -> None:
    """Raises `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)


def warn(message: str) -> None:
    """Tells the user, on standard error, what still works but soon will not."""
    Console(stderr=True).print(f"warning: {message}", style="yellow", markup=False, soft_wrap=True)
