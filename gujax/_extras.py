"""What an import needs beyond the core's dependencies."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Says which extra to install where an import inside the ``with`` block fails.

    Args:
        name: The extra that brings what is imported.

    Raises:
        ModuleNotFoundError: A package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "gujax":
            raise
        raise ModuleNotFoundError(
            f"{error.name} is missing; it comes with: pip install 'gujax[{name}]'", name=error.name
        ) from error
