"""`ragged_dot_general`: positions sorted by expert, each multiplied by its expert's weights."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend import core

from gujax.gradients._program import Program, aval, batched, bind, rule
from gujax.gradients._terms import Factors, Term, UnfactorableError


@rule("ragged_dot_general")
def _ragged_dot(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """The gradient of all experts' weights: one group per expert, of the positions it was given.

    A position belongs to one expert, so its factors are zero in all other groups.
    """
    left_aval, right_aval, sizes_aval = (aval(atom) for atom in eqn.invars)
    numbers = eqn.params["ragged_dot_dimension_numbers"]
    (left_sum, right_sum), (left_batch, _) = numbers.dot_dimension_numbers
    one_sum = left_aval.ndim == right_aval.ndim == 2 and len(left_sum) == 1 and not left_batch
    if not one_sum or tuple(numbers.lhs_ragged_dimensions) != tuple(left_sum):
        raise UnfactorableError("a ragged product of more than rows")
    if sizes_aval.ndim != 1 or eqn.params["group_offset"] is not None:
        raise UnfactorableError("a ragged product of part of the groups")
    groups = sizes_aval.shape[0]
    positions = left_aval.shape[left_sum[0]]
    rows, columns = left_aval.shape[1 - left_sum[0]], right_aval.shape[1 - right_sum[0]]

    def build(left: Array, right: Array, sizes: Array) -> Factors:
        own = _group_of_row(sizes, positions) == jnp.arange(groups)[:, None]
        left, right = jnp.moveaxis(left, left_sum[0], 0), jnp.moveaxis(right, right_sum[0], 0)
        return jnp.where(own[..., None], left, 0), jnp.where(own[..., None], right, 0)

    return [Term("product", (groups,), positions, (rows,), (columns,), tuple(eqn.invars), build)]


@batched("ragged_dot_general")
def _run_ragged_dot(eqn: core.JaxprEqn, args: list[Any]) -> list[Array]:
    """The product for all examples under `vmap`, which JAX has only if all of it is batched.

    The rows of all examples are sorted by group and multiplied at once by the weights they share.
    """

    def product(*args: Array) -> Array:
        return bind(eqn, list(args))[0]

    numbers = eqn.params["ragged_dot_dimension_numbers"]
    by_rows = tuple(numbers.lhs_ragged_dimensions) == (0,) and bool(numbers.rhs_group_dimensions)
    run = jax.custom_batching.custom_vmap(product)

    @run.def_vmap
    def _(size: int, is_batched: list[bool], *args: Array) -> tuple[Array, bool]:
        left, right, sizes = (
            x if known or i == 1 else jnp.broadcast_to(x, (size, *x.shape))
            for i, (x, known) in enumerate(zip(args, is_batched, strict=True))
        )
        if is_batched[1] or not by_rows or left.ndim != 3 or sizes.ndim != 2:
            if not is_batched[1]:
                right = jnp.broadcast_to(right, (size, *right.shape))
            return jax.vmap(product)(left, right, sizes), True
        group = jax.vmap(lambda sizes: _group_of_row(sizes, left.shape[1]))(sizes).reshape(-1)
        order = jnp.argsort(group)
        result = product(left.reshape(len(group), -1)[order], right, jnp.sum(sizes, axis=0))
        return result[jnp.argsort(order)].reshape(*left.shape[:2], -1), True

    return [run(*args)]


def _group_of_row(sizes: Array, rows: int) -> Array:
    """The group of each row, [rows]; the number of groups for rows past the last one."""
    return jnp.searchsorted(jnp.cumsum(sizes), jnp.arange(rows), side="right")
