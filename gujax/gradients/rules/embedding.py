"""Indexed uses of a parameter: rows of an embedding table, one layer of a stack."""

import jax.numpy as jnp
from jax import Array, lax
from jax.extend import core

from gujax.gradients.placement import Transpose
from gujax.gradients.program import Program, aval, rule
from gujax.gradients.terms import Factors, Term, UnfactorableError


@rule("scatter-add")
def _scatter_add(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """The gradient of a gather of whole rows: errors added into the rows they came from."""
    operand, indices, updates = eqn.invars
    numbers = eqn.params["dimension_numbers"]
    shape = aval(operand).shape
    if len(numbers.scatter_dims_to_operand_dims) != 1:
        raise UnfactorableError("indexed along several axes at once")
    (axis,) = numbers.scatter_dims_to_operand_dims
    window = tuple(aval(updates).shape[d] for d in numbers.update_window_dims)
    columns = tuple(size for d, size in enumerate(shape) if d != axis)
    whole_rows = (
        tuple(numbers.inserted_window_dims) == (axis,)
        and not numbers.operand_batching_dims
        and window == columns
    )
    if not whole_rows:
        raise UnfactorableError("indexed by windows, not by whole rows")
    length = shape[axis]
    scattered = tuple(d for d in range(aval(updates).ndim) if d not in numbers.update_window_dims)
    positions = aval(indices).size
    drop = eqn.params["mode"] != lax.GatherScatterMode.CLIP

    def build(indices: Array, updates: Array) -> Factors:
        rows = indices.reshape(positions)
        values = jnp.transpose(updates, (*scattered, *numbers.update_window_dims))
        values = values.reshape(positions, *columns)
        if drop:  # a row out of range takes no part in the forward pass, nor here
            inside = ((rows >= 0) & (rows < length)).reshape(positions, *(1,) * len(columns))
            values = jnp.where(inside, values, 0)
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


def _to_axis(axis: int, ndim: int) -> Transpose:
    """Move the indexed axis, which the product has first, to where the table has it."""
    permutation = list(range(1, ndim))
    permutation.insert(axis, 0)
    return Transpose(tuple(permutation))
