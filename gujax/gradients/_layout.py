"""How a product sits inside the parameter it belongs to.

The gradient of a parameter is a matrix product followed by a few structural steps (a transpose, a
reshape, zero padding, a sign). Each step below is an isometry on the flattened array, so inner
products may be taken before it. Steps are hashable data, not closures: they travel as the static
part of a pytree, and two traces of one model compare equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import jax.numpy as jnp
from jax import Array, lax


class Step(Protocol):
    """One isometric, linear, structural step."""

    def __call__(self, x: Array) -> Array:
        """Apply the step to an array without leading axes."""
        ...

    def lift(self, size: int) -> "Step":
        """The same step under one more leading axis of length `size`."""
        ...


@dataclass(frozen=True)
class Transpose:
    """Permute the axes."""

    permutation: tuple[int, ...]

    def __call__(self, x: Array) -> Array:
        return jnp.transpose(x, self.permutation)

    def lift(self, size: int) -> "Transpose":
        """Keep the new leading axis first."""
        return Transpose((0, *(axis + 1 for axis in self.permutation)))


@dataclass(frozen=True)
class Reshape:
    """Reshape in row-major order."""

    shape: tuple[int, ...]

    def __call__(self, x: Array) -> Array:
        return jnp.reshape(x, self.shape)

    def lift(self, size: int) -> "Reshape":
        """Keep the new leading axis whole."""
        return Reshape((size, *self.shape))


@dataclass(frozen=True)
class Pad:
    """Surround with zeros: one (low, high, interior) per axis, none negative."""

    config: tuple[tuple[int, int, int], ...]

    def __call__(self, x: Array) -> Array:
        return lax.pad(x, jnp.zeros((), x.dtype), self.config)

    def lift(self, size: int) -> "Pad":
        """Leave the new leading axis unpadded."""
        return Pad(((0, 0, 0), *self.config))


@dataclass(frozen=True)
class Reverse:
    """Reverse the order along some axes."""

    axes: tuple[int, ...]

    def __call__(self, x: Array) -> Array:
        return lax.rev(x, self.axes)

    def lift(self, size: int) -> "Reverse":
        """Leave the new leading axis as it is."""
        return Reverse(tuple(axis + 1 for axis in self.axes))


@dataclass(frozen=True)
class Negate:
    """Change the sign."""

    def __call__(self, x: Array) -> Array:
        return -x

    def lift(self, size: int) -> "Negate":
        """A sign does not depend on axes."""
        return self


Placement = tuple[Step, ...]


def place(placement: Placement, x: Array) -> Array:
    """Apply all steps, in order."""
    for step in placement:
        x = step(x)
    return x


def lift(placement: Placement, size: int) -> Placement:
    """The same placement under one more leading axis."""
    return tuple(step.lift(size) for step in placement)


def simplify(placement: Sequence[Step], shape: tuple[int, ...]) -> Placement:
    """Drop steps that do nothing and merge neighbours, for an array that starts with `shape`.

    Equal maps written differently (a transpose undone by another) then compare equal, which is
    what lets two uses of a tied parameter be multiplied without forming either.
    """
    steps: list[Step] = []
    shapes = [tuple(shape)]
    for step in placement:
        if isinstance(step, Transpose) and steps and isinstance(steps[-1], Transpose):
            first = steps.pop().permutation  # type: ignore[attr-defined]
            shapes.pop()
            step = Transpose(tuple(first[axis] for axis in step.permutation))
        elif isinstance(step, Reshape) and steps and isinstance(steps[-1], Reshape):
            steps.pop()
            shapes.pop()
        elif isinstance(step, Negate) and Negate() in steps:
            index = steps.index(Negate())
            del steps[index], shapes[index + 1]
            continue
        after = output_shape(step, shapes[-1])
        if not _is_identity(step, shapes[-1]):
            steps.append(step)
            shapes.append(after)
    return tuple(steps)


def output_shape(step: Step, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape after one step."""
    match step:
        case Transpose(permutation):
            return tuple(shape[axis] for axis in permutation)
        case Reshape(new_shape):
            return new_shape
        case Pad(config):
            return tuple(
                low + high + size + max(size - 1, 0) * interior
                for size, (low, high, interior) in zip(shape, config, strict=True)
            )
        case _:
            return shape


def _is_identity(step: Step, shape: tuple[int, ...]) -> bool:
    match step:
        case Transpose(permutation):
            return permutation == tuple(range(len(shape)))
        case Reshape(new_shape):
            return new_shape == shape
        case Pad(config):
            return all(entry == (0, 0, 0) for entry in config)
        case Reverse(axes):
            return all(shape[axis] <= 1 for axis in axes)
        case _:
            return False
