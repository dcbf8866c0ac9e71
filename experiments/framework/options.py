"""Options of jobs: typed once, checked where they are made, told in the words of the command line.

    @options
    class Options(RunOptions):
        \"""What the job does.

        Attributes:
            seeds: Independent repeats.
        \"""

        seeds: Count = 5

`Options(seeds=0)` raises `UserError("--seeds 0 must be at least 1")`, and so does the command line.
What concerns several options is checked in `__post_init__`.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform, get_type_hints

import tyro
from annotated_types import Ge, Gt, Len
from pydantic import AfterValidator, AllowInfNan, ValidationError
from pydantic.dataclasses import dataclass

from experiments.framework.errors import UserError

T = TypeVar("T")

PLACE = ("out", "overwrite")  # where a run lies is no part of what it computes


def must(condition: Callable[[Any], bool], what: str) -> AfterValidator:
    """A check whose failure reads "--name value must be `what`"."""

    def check(value: Any) -> Any:
        if not condition(value):
            raise ValueError(f"must be {what}")
        return value

    return AfterValidator(check)


Count = Annotated[int, Ge(1)]
"""1, 2, …"""

CountFromZero = Annotated[int, Ge(0)]
"""0, 1, 2, …"""

Positive = Annotated[float, Gt(0), AllowInfNan(False)]
"""A finite number above 0."""

NonNegative = Annotated[float, Ge(0), AllowInfNan(False)]
"""A finite number, at least 0."""

Fraction = Annotated[float, must(lambda value: 0 < value < 1, "between 0 and 1")]
"""A number strictly between 0 and 1."""

Models = Annotated[int, must(lambda value: value >= 4 and value % 2 == 0, "even and at least 4")]
"""Models that come in pairs, so that every target has shadow models on both sides."""

Distinct = Annotated[tuple[T, ...], AfterValidator(lambda values: tuple(dict.fromkeys(values)))]
"""Values of which what is given twice counts once; `Distinct[Count]`."""

Several = Annotated[Distinct[T], Len(1)]
"""One or more such values; `Several[Count]`."""


class _Retired:
    """Marks an option of earlier versions."""


Retired = Annotated[T | None, _Retired()]
"""An option of earlier versions, which help does not list; `Retired[float] = None`."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def options(cls: type[T]) -> type[T]:
    """Makes a class of options: a frozen dataclass with keywords only, whose values are checked.

    Raises:
        UserError: When one is made with a value that its type does not allow; every such value is
            named with its option and what it must be.
    """
    made: Any = dataclass(frozen=True, kw_only=True)(cls)
    validate = made.__init__

    @functools.wraps(validate)
    def init(self: Any, *args: Any, **values: Any) -> None:
        try:
            validate(self, *args, **values)
        except ValidationError as error:
            raise UserError("; ".join(dict.fromkeys(map(_sentence, error.errors())))) from None

    made.__init__ = init
    fields = made.__dataclass_fields__
    for name in PLACE:  # stands last in the help
        if name in fields:
            fields[name] = fields.pop(name)
    return made


@options
class RunOptions:
    """What every job can be told.

    Attributes:
        out: Run directory; default: runs/<job>-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    out: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Ends the chain of checks of classes that are combined: each calls the next."""


def without_retired(cls: type[T]) -> type[T]:
    """The same options with those of earlier versions left out, to be shown as help."""
    hidden = {
        name: tyro.conf.Suppress[hint]  # type: ignore[misc]
        for name, hint in get_type_hints(cls, include_extras=True).items()
        if any(isinstance(mark, _Retired) for mark in getattr(hint, "__metadata__", ()))
    }
    place = {"__annotations__": hidden, "__doc__": cls.__doc__, "__module__": cls.__module__}
    return type(cls.__name__, (cls,), place) if hidden else cls


def flag(name: str) -> str:
    """An option as it is written on the command line."""
    return f"--{name.replace('_', '-')}"


def _sentence(error: Any) -> str:
    """One failed check in words."""
    path, context, value = error["loc"], error.get("ctx", {}), error["input"]
    name = flag(str(path[0])) if path else "the options"
    match error["type"]:
        case "too_short":
            return f"{name} is empty; name at least one"
        case "greater_than":
            must = "must be positive"
        case "greater_than_equal":
            must = f"must be at least {context['ge']:g}"
        case "less_than":
            must = f"must be below {context['lt']:g}"
        case "finite_number":
            must = "must be a finite number"
        case "value_error":
            must = str(context["error"])
        case _:
            must = error["msg"][0].lower() + error["msg"][1:]
    return f"{name} {value} {must}"
