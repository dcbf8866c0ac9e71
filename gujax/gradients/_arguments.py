"""What all examples share, of any kind: arrays are traced, everything else stays what it is.

`jax.vmap(jax.grad(loss_fn))` hands flags, counts, strings, functions and keywords on to the loss
untouched. A compiled program can only take arrays: the rest is part of the program.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

import jax
import numpy as np

# Raised by a loss that needs to know the value of what it is given, not only its shape.
_NEEDS_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerBoolConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


@dataclass(frozen=True)
class Same:
    """Any object as part of a key: equal to itself, and to what is of one type and equal."""

    value: Any

    def __hash__(self) -> int:
        try:
            return hash(self.value)
        except TypeError:  # an Equinox module that holds arrays
            return id(self.value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Same) or type(self.value) is not type(other.value):
            return False
        if self.value is other.value:
            return True
        try:
            equal = hash(self.value) == hash(other.value) and bool(self.value == other.value)
        except TypeError:
            return False
        return equal and (self.value != 0 or str(self.value) == str(other.value))  # 0.0 is not -0.0


@dataclass(frozen=True)
class BoundLoss:
    """A loss with what is not an array filled in: ``bound(params, example, *arrays)``.

    Args:
        loss: the loss.
        fixed: for each leaf of (shared, keywords) its value, or None where an array belongs.
        structure: of (shared, keywords).
    """

    loss: Same
    fixed: tuple[Same | None, ...]
    structure: Any

    def __call__(self, params: Any, example: Any, *arrays: Any) -> Any:
        rest = iter(arrays)
        leaves = [next(rest) if leaf is None else leaf.value for leaf in self.fixed]
        shared, keywords = jax.tree.unflatten(self.structure, leaves)
        return self.loss.value(params, example, *shared, **keywords)

    def surroundings(self) -> tuple[Same, ...]:
        """What the loss's own Python code refers to now: its cells, and the globals of its module.

        A loss that is traced once must be traced again when one of them is another object.
        """
        found: dict[int, Any] = {}
        _collect(self.loss.value, found)
        return tuple(map(Same, found.values()))


def call_bound(
    function: Callable[[BoundLoss, tuple[Any, ...]], Any],
    loss_fn: Callable[..., Any],
    shared: tuple[Any, ...],
    keywords: dict[str, Any],
) -> Any:
    """``function(bound loss, arrays)``; numbers are arrays too, unless the loss needs their value.

    A program is thereby compiled once for all values of a temperature, and again for every value
    that the loss branches on.
    """
    try:
        return function(*_bind(loss_fn, shared, keywords, _is_traceable))
    except Exception as error:
        if not (shared or keywords) or not _needs_values(error):
            raise
    return function(*_bind(loss_fn, shared, keywords, _is_tracer))


def _bind(
    loss_fn: Callable[..., Any],
    shared: tuple[Any, ...],
    keywords: dict[str, Any],
    traced: Callable[[Any], bool],
) -> tuple[BoundLoss, tuple[Any, ...]]:
    leaves, structure = jax.tree.flatten((shared, keywords))
    fixed = tuple(None if traced(leaf) else Same(leaf) for leaf in leaves)
    return BoundLoss(Same(loss_fn), fixed, structure), tuple(filter(traced, leaves))


def _is_tracer(leaf: Any) -> bool:
    return isinstance(leaf, jax.core.Tracer)


def _is_traceable(leaf: Any) -> bool:
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.dtype.kind not in "OSUMm"
    return isinstance(leaf, jax.Array | float | complex)


def _collect(value: Any, found: dict[int, Any]) -> None:
    """Gather what a function refers to, and what those of its own module refer to that it calls."""
    function = getattr(value, "__func__", value)
    if not isinstance(function, FunctionType):
        return
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # a cell that is still empty
            _add(cell.cell_contents, function, found)
    for name in _names(function.__code__):
        if name in function.__globals__:
            _add(function.__globals__[name], function, found)


def _add(value: Any, user: FunctionType, found: dict[int, Any]) -> None:
    if id(value) not in found:
        found[id(value)] = value
        if getattr(value, "__globals__", None) is user.__globals__:
            _collect(value, found)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _needs_values(error: BaseException | None) -> bool:
    return error is not None and (
        isinstance(error, _NEEDS_VALUES) or _needs_values(error.__cause__)
    )
