"""Which axes of a parameter the rows of a product become, and which its columns.

A product [groups, rows, columns] is placed in its parameter by transposes, reshapes and the like.
Where every axis of the parameter comes from groups and rows alone, or from groups and columns
alone, what is a sum over the parameter's axes is a sum of what the two factors contribute.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from gujax.gradients._cost import Sizes
from gujax.gradients._layout import Negate, Pad, Placement, Reshape, Reverse, Transpose
from gujax.gradients._layout import output_shape as shape_after

_GROUPS, _ROWS, _COLUMNS = range(3)


class Digit(NamedTuple):
    """A digit of the index of groups, rows or columns: ``index // stride % size``."""

    source: int
    size: int
    stride: int


class Axis(NamedTuple):
    """An axis of the placed array: ``start + step * number``, of digits, the greatest first."""

    digits: tuple[Digit, ...]
    start: int = 0
    step: int = 1

    def comes_from(self, source: int) -> bool:
        """Whether the position on this axis depends on the index of a source."""
        return any(digit.source == source for digit in self.digits)

    def positions(self, indices: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        """Positions on this axis of indices (groups, rows, columns), arrays that broadcast."""
        number = np.zeros((), int)
        for digit in self.digits:
            number = number * digit.size + indices[digit.source] // digit.stride % digit.size
        return self.start + self.step * number


class Separated(NamedTuple):
    """Where a product goes in its parameter.

    Attributes:
        left: for every axis that depends on groups and rows alone, its positions [groups, rows].
        right: for every other axis, its positions [groups, columns].
        sign: 1, or -1 if the product is subtracted.
    """

    left: dict[int, Int[np.ndarray, "groups rows"]]
    right: dict[int, Int[np.ndarray, "groups columns"]]
    sign: int


def separate(sizes: Sizes, placement: Placement) -> Separated | None:
    """Where a product goes, or None where an axis of the parameter depends on rows and columns."""
    axes = [Axis((Digit(i, size, 1),)) for i, size in enumerate(sizes.product)]
    shape, sign = tuple(sizes.product), 1
    for step in placement:
        after = _axes_after(step, axes, shape)
        if after is None:
            return None
        axes, shape = after, shape_after(step, shape)
        sign = -sign if isinstance(step, Negate) else sign
    group, row, column = (np.arange(size) for size in sizes.product)
    separated = Separated({}, {}, sign)
    for number, axis in enumerate(axes):
        if not axis.comes_from(_COLUMNS):
            side, other, length = separated.left, row, sizes.rows
        elif not axis.comes_from(_ROWS):
            side, other, length = separated.right, column, sizes.columns
        else:
            return None
        positions = axis.positions((group[:, None], other[None, :], other[None, :]))
        side[number] = np.broadcast_to(positions, (sizes.groups, length))
    return separated


def _axes_after(step: object, axes: list[Axis], shape: tuple[int, ...]) -> list[Axis] | None:
    match step:
        case Transpose(permutation):
            return [axes[axis] for axis in permutation]
        case Reshape(new_shape):
            return _reshaped(axes, new_shape)
        case Pad(config):
            if any(low < 0 or high < 0 for low, high, _ in config):  # it drops what it should place
                return None
            return [
                Axis(a.digits, low + (interior + 1) * a.start, (interior + 1) * a.step)
                for a, (low, _, interior) in zip(axes, config, strict=True)
            ]
        case Reverse(reversed_axes):
            return [
                Axis(a.digits, shape[i] - 1 - a.start, -a.step) if i in reversed_axes else a
                for i, a in enumerate(axes)
            ]
        case Negate():
            return axes
        case _:
            return None


def _reshaped(axes: list[Axis], shape: tuple[int, ...]) -> list[Axis] | None:
    """Deal the digits of all axes out to new ones; one that is cut apart becomes two."""
    if any((axis.start, axis.step) != (0, 1) for axis in axes):
        return None
    digits = [digit for axis in axes for digit in axis.digits if digit.size > 1]
    result = []
    for length in shape:
        taken: list[Digit] = []
        missing = length
        while missing > 1:
            source, size, stride = digits.pop(0)
            shared = math.gcd(size, missing)
            if shared != min(size, missing):
                return None
            if size > shared:  # the greater part belongs here, the rest to the next axis
                digits.insert(0, Digit(source, size // shared, stride))
            taken.append(Digit(source, shared, stride * (size // shared)))
            missing //= shared
        result.append(Axis(tuple(taken)))
    return result
