"""Functions as keys of what was compiled for them, those included that cannot be hashed.

A loss may be an object that holds arrays, such as an Equinox module. It has no hash, but it is
itself: it is found again by being the same object.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class Itself:
    """A callable without a hash, equal to nothing but itself."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __hash__(self) -> int:
        return id(self.function)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Itself) and other.function is self.function


def hashable(value: Any) -> Any:
    """The value itself; or, of a callable that cannot be hashed, one that does the same and can."""
    try:
        hash(value)
    except TypeError:
        return Itself(value) if callable(value) else value
    return value


def cached(make: Function) -> Function:
    """Like `functools.cache`, also for functions that cannot be hashed.

    Used where one function is made of another, so that jit finds the result again.
    """
    remembered = functools.cache(make)

    @functools.wraps(make)
    def found(*args: Any, **kwargs: Any) -> Any:
        arguments = map(hashable, args)
        return remembered(*arguments, **{name: hashable(x) for name, x in kwargs.items()})

    return found  # type: ignore[return-value]
