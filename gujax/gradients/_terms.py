"""Terms: what the gradient program of one example says about one gradient array.

`Program.resolve` (program.py) describes a gradient as a sum of terms. A term names the two factors
whose product it is and how that product is placed; nothing is computed until its factors are built.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax.numpy as jnp
from jax import Array
from jax.extend import core

from gujax.gradients._cost import Sizes, kept_elements
from gujax.gradients._layout import (
    Negate,
    Placement,
    Reshape,
    Step,
    Transpose,
    lift,
    output_shape,
    simplify,
)

Factors = tuple[Array, Array]


class UnfactorableError(Exception):
    """This gradient is not a sum of products we know; the message says why."""


@dataclass(frozen=True, eq=False)
class Inner:
    """Atom of an outer scope: the factors of `term`, which lives in a scope inside `eqn`.

    Args:
        eqn: the `scan` or `cond` equation of the outer scope.
        term: a term of the body, or of one branch.
        output: index of the equation's output that the term is part of.
        branch: which branch of a `cond` the term lives in.
    """

    eqn: core.JaxprEqn
    term: "Term"
    output: int
    branch: int = 0


@dataclass(frozen=True, eq=False)
class Accumulator:
    """Marks, in place of a term, the carried array to which a scan adds its gradients.

    Any other step on it would have to be repeated once per iteration.
    """

    var: core.Var

    def _changed(self, *args: Any, **kwargs: Any) -> "Term":
        raise UnfactorableError("a loop does more with a gradient than add to it")

    then = scaled = sliced = _changed


@dataclass(frozen=True, eq=False)
class Term:
    """One product of an example's gradient: sum over positions of left ⊗ right, then placed.

    Args:
        kind: "product" for a dense left factor, "rows" for one-hot left factors given by index.
        groups: axes that both factors carry through (layers of a scan, experts, conv groups).
        positions: how many (left, right) pairs are summed.
        rows: axes contributed by the left factor; for "rows" the length of the indexed axis.
        columns: axes contributed by the right factor.
        inputs: atoms of the scope (variables, literals, `Inner` factors) that `build` needs.
        build: from the inputs' values, for one example, the factors: (left [*groups, positions,
            *rows] or row indices [*groups, positions], right [*groups, positions, *columns]).
        placement: from [*groups, *rows, *columns] to the gradient array described.
    """

    kind: Literal["product", "rows"]
    groups: tuple[int, ...]
    positions: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    inputs: tuple[Any, ...]
    build: Callable[..., Factors]
    placement: Placement = ()

    @property
    def repeats(self) -> bool:
        """Whether the factors repeat what they are built from, as a convolution's patches do."""
        if not all(isinstance(atom, core.Var) for atom in self.inputs):
            return False
        operands = sum(math.prod(atom.aval.shape) for atom in self.inputs)
        return kept_elements([self.collapsed()[0]]) > 2 * operands

    @property
    def product_shape(self) -> tuple[int, ...]:
        """Shape of the product before it is placed."""
        return self.groups + self.rows + self.columns

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the gradient array described."""
        shape = self.product_shape
        for step in self.placement:
            shape = output_shape(step, shape)
        return shape

    def then(self, step: Step) -> "Term":
        """The same term, with one more structural step outside it."""
        return replace(self, placement=simplify((*self.placement, step), self.product_shape))

    def scaled(self, scalar: Any, divide: bool = False) -> "Term":
        """The same term times (or divided by) a scalar atom of the same scope."""

        def build(value: Array, *inputs: Array) -> Factors:
            left, right = self.build(*inputs)
            scale = jnp.asarray(value, right.dtype)
            return left, right / scale if divide else right * scale

        return replace(self, inputs=(scalar, *self.inputs), build=build)

    def sliced(self, axis: int, start: int, limit: int, stride: int) -> "Term":
        """Keep part of one axis of the described array, by slicing the factor it comes from.

        A slice is not an isometry, so it has to be moved inside the product: possible while only
        transposes and signs lie in between.
        """
        for step in reversed(self.placement):
            match step:
                case Transpose(permutation):
                    axis = permutation[axis]
                case Negate():
                    pass
                case _:
                    raise UnfactorableError("sliced after a reshape of the product")
        g, r = len(self.groups), len(self.rows)
        size = len(range(start, limit, stride))
        index = slice(start, limit, stride)
        groups, rows, columns = list(self.groups), list(self.rows), list(self.columns)
        in_left = axis < g + r
        in_right = axis < g or axis >= g + r
        if axis < g:
            groups[axis] = size
            left_axis = right_axis = axis
        elif in_left:
            if self.kind == "rows":
                raise UnfactorableError("part of an indexed table is sliced off")
            rows[axis - g] = size
            left_axis = axis + 1  # the axis of positions comes first
        else:
            columns[axis - g - r] = size
            right_axis = axis - r + 1

        def build(*inputs: Array) -> Factors:
            left, right = self.build(*inputs)
            if in_left:
                left = left[(slice(None),) * left_axis + (index,)]
            if in_right:
                right = right[(slice(None),) * right_axis + (index,)]
            return left, right

        return replace(
            self, groups=tuple(groups), rows=tuple(rows), columns=tuple(columns), build=build
        )

    def stacked(self, length: int, inner: Any) -> "Term":
        """The term of a scan whose steps stack this one: a new leading group axis.

        Args:
            length: number of steps.
            inner: the atom of the outer scope whose value is this term's factors, stacked.
        """
        return replace(
            self,
            groups=(length, *self.groups),
            inputs=(inner,),
            build=lambda factors: factors,
            placement=lift(self.placement, length),
        )

    def summed(self, length: int, inner: Any) -> "Term":
        """The term of a scan whose steps add this one up: `length` times as many positions."""
        g = len(self.groups)

        def merge(x: Array) -> Array:
            x = jnp.moveaxis(x, 0, g)
            return x.reshape(*x.shape[:g], x.shape[g] * x.shape[g + 1], *x.shape[g + 2 :])

        return replace(
            self,
            positions=length * self.positions,
            inputs=(inner,),
            build=lambda factors: (merge(factors[0]), merge(factors[1])),
        )

    def forwarded(self, inner: Any) -> "Term":
        """The term of a branch, seen from outside the `cond`."""
        return replace(self, inputs=(inner,), build=lambda factors: factors)

    def canonical(self) -> "Term":
        """Swap the factors where the product is only transposed as a whole.

        A tied parameter is used once as W and once as Wᵀ; after this both uses are placed alike.
        """
        g, r, c = len(self.groups), len(self.rows), len(self.columns)
        swap = (*range(g), *range(g + r, g + r + c), *range(g, g + r))
        if self.kind != "product" or not self.placement or self.placement[0] != Transpose(swap):
            return self

        def build(*inputs: Array) -> Factors:
            left, right = self.build(*inputs)
            return right, left

        return replace(
            self,
            rows=self.columns,
            columns=self.rows,
            build=build,
            placement=self.placement[1:],
        )

    def collapsed(self) -> tuple[Sizes, Placement]:
        """Sizes with axes merged, and the placement of that [groups, rows, columns] product."""
        sizes = Sizes(
            math.prod(self.groups),
            self.positions,
            math.prod(self.rows),
            math.prod(self.columns),
            indexed=self.kind == "rows",
        )
        expanded = (Reshape(self.product_shape), *self.placement)
        return sizes, simplify(expanded, sizes.product)
