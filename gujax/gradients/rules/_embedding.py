"""Indexed uses of a parameter: rows of an embedding table, one layer of a stack."""

import jax.numpy as jnp
from jax import Array, lax
from jax.extend import core

from gujax.gradients._layout import Transpose
from gujax.gradients._program import Program, aval, rule
from gujax.gradients._terms import Factors, Term, UnfactorableError


@rule("scatter-add")
def _scatter_add(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """The gradient of a gather of whole rows: errors added into the rows they came from.

    A slice at a computed index that was batched over positions comes out as a gather, too: it has
    an index for every axis, of which all but one can only be zero.
    """
    operand, indices, updates = eqn.invars
    numbers = eqn.params["dimension_numbers"]
    shape = aval(operand).shape
    indexed = numbers.scatter_dims_to_operand_dims
    window = _window(numbers, aval(updates).shape, len(shape))
    chosen = [axis for axis in indexed if window[axis] != shape[axis]] or list(indexed[:1])
    if len(chosen) != 1:
        raise UnfactorableError("indexed along several axes at once")
    (axis,) = chosen
    columns = tuple(size for d, size in enumerate(shape) if d != axis)
    whole_rows = window[axis] == 1 and columns == tuple(
        size for d, size in enumerate(window) if d != axis
    )
    if not whole_rows or numbers.operand_batching_dims:
        raise UnfactorableError("indexed by windows, not by whole rows")
    length = shape[axis]
    scattered = tuple(d for d in range(aval(updates).ndim) if d not in numbers.update_window_dims)
    positions = aval(indices).size // len(indexed)
    drop = eqn.params["mode"] != lax.GatherScatterMode.CLIP

    def build(indices: Array, updates: Array) -> Factors:
        starts = indices.reshape(positions, len(indexed))
        rows = starts[:, indexed.index(axis)]
        values = jnp.transpose(updates, (*scattered, *numbers.update_window_dims))
        values = values.reshape(positions, *columns)
        if drop:  # a row out of range takes no part in the forward pass, nor here
            limits = jnp.array([length if d == axis else 1 for d in indexed])
            inside = ((starts >= 0) & (starts < limits[None, :])).all(axis=1)
            values = jnp.where(inside.reshape(positions, *(1,) * len(columns)), values, 0)
        return jnp.clip(rows, 0, length - 1).astype(jnp.int32), values

    term = Term("rows", (), positions, (length,), columns, (indices, updates), build)
    return [*program.resolve(operand), term.then(_to_axis(axis, len(shape)))]


@rule("dynamic_update_slice")
def _dynamic_update_slice(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """The gradient of taking one slice at a computed index: one row of a table of zeros."""
    operand, update, *starts = eqn.invars
    shape, part = aval(operand).shape, aval(update).shape
    axes = [axis for axis in range(len(shape)) if shape[axis] != part[axis]]
    if not program.is_zero(operand) or len(axes) != 1 or part[axes[0]] != 1:
        raise UnfactorableError("a dynamic slice of more than one row")
    (axis,) = axes
    length = shape[axis]
    columns = tuple(size for d, size in enumerate(shape) if d != axis)

    def build(start: Array, update: Array) -> Factors:
        row = jnp.clip(start, 0, length - 1).astype(jnp.int32)
        return row.reshape(1), update.reshape(1, *columns)

    term = Term("rows", (), 1, (length,), columns, (starts[axis], update), build)
    return [term.then(_to_axis(axis, len(shape)))]


def _window(numbers: lax.ScatterDimensionNumbers, updates: tuple[int, ...], ndim: int) -> list[int]:
    """Size of the scattered window along every axis of the table."""
    sizes = iter(updates[d] for d in numbers.update_window_dims)
    absent = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    return [1 if axis in absent else next(sizes) for axis in range(ndim)]


def _to_axis(axis: int, ndim: int) -> Transpose:
    """Move the indexed axis, which the product has first, to where the table has it."""
    permutation = list(range(1, ndim))
    permutation.insert(axis, 0)
    return Transpose(tuple(permutation))
