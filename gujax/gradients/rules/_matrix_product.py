"""`dot_general`: the weight gradient of a matrix product, in any layout."""

import math

import jax.numpy as jnp
from jax import Array
from jax.extend import core

from gujax.gradients._program import Program, aval, rule
from gujax.gradients._terms import Factors, Term


@rule("dot_general")
def _dot_general(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """Batch axes of the product are groups, contracted axes are positions.

    For y = x W over T positions JAX's gradient is Σ_t δ_t ⊗ x_t: the contraction runs over the
    positions, and the factors are the error and the activation, whichever side W was on.
    """
    left_aval, right_aval = (aval(atom) for atom in eqn.invars)
    (left_sum, right_sum), (left_batch, right_batch) = eqn.params["dimension_numbers"]
    left_free = _others(left_aval.ndim, left_sum, left_batch)
    right_free = _others(right_aval.ndim, right_sum, right_batch)
    groups = _sizes(left_aval.shape, left_batch)
    rows = _sizes(left_aval.shape, left_free)
    columns = _sizes(right_aval.shape, right_free)
    positions = math.prod(_sizes(left_aval.shape, left_sum))

    def build(left: Array, right: Array) -> Factors:
        left = jnp.transpose(left, (*left_batch, *left_sum, *left_free))
        right = jnp.transpose(right, (*right_batch, *right_sum, *right_free))
        return (
            left.reshape(*groups, positions, *rows),
            right.reshape(*groups, positions, *columns),
        )

    return [Term("product", groups, positions, rows, columns, tuple(eqn.invars), build)]


def _others(ndim: int, *axes: tuple[int, ...]) -> tuple[int, ...]:
    taken = {axis for group in axes for axis in group}
    return tuple(axis for axis in range(ndim) if axis not in taken)


def _sizes(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in axes)
