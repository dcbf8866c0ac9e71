"""Per-example gradients as compiled programs, each compiled once for one loss."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import chex
import jax
from jax.extend import core

from gujax.gradients._arguments import BoundLoss
from gujax.gradients._cost import Options
from gujax.gradients._plan import Plan, plan_program
from gujax.gradients._program import Program
from gujax.gradients._respread import on_any_mesh
from gujax.gradients._tracing import batch_size, traced_gradient
from gujax.sharding import closed, opened, varying_like

Method = Literal["factored", "dense"]

# Programs that are kept for losses called again. Each keeps its loss alive, and what that holds.
_PROGRAMS = 32


class Setting(NamedTuple):
    """How gradients are computed; see `per_example_grads`."""

    has_aux: bool
    method: Method
    options: Options


def values_and_grads(
    loss: BoundLoss,
    setting: Setting,
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    arrays: tuple[Any, ...],
) -> Any:
    """What `value_and_per_example_grads` returns, of a batch that fits into memory."""
    params = varying_like(params, batch)
    given = jax.tree.leaves((params, batch, arrays))
    if any(isinstance(leaf, jax.core.Tracer) for leaf in given):  # part of a larger program
        run = _compiled(loss, setting)
    else:
        run = _kept(loss, setting, loss.surroundings())
    values, grads = run(params, batch, arrays)
    return values, closed(grads)


@lru_cache(_PROGRAMS)
def _kept(loss: BoundLoss, setting: Setting, surroundings: Any) -> Callable[..., Any]:
    del surroundings  # a loss that refers to other objects is another loss
    return _compiled(loss, setting)


def _compiled(loss: BoundLoss, setting: Setting) -> Callable[..., Any]:
    @jax.jit
    def program(params: chex.ArrayTree, batch: chex.ArrayTree, arrays: tuple[Any, ...]) -> Any:
        traced, shapes = traced_gradient(loss, setting.has_aux, params, batch, arrays)

        def run(traced: core.ClosedJaxpr, params: Any, batch: Any, arrays: Any) -> Any:
            if setting.method == "dense":
                return _dense(Program(traced), jax.tree.structure(shapes), params, batch, arrays)
            plan = plan_program(traced, shapes, params, batch_size(batch), setting.options)
            return _factored(plan, params, batch, arrays)

        return on_any_mesh(run, traced, params, batch, arrays)

    return program


def _dense(
    program: Program,
    structure: jax.tree_util.PyTreeDef,
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    arrays: tuple[Any, ...],
) -> Any:
    def one(example: list[Any]) -> list[Any]:
        arguments = [*jax.tree.leaves(params), *example, *arrays]
        return program.evaluate(arguments, program.jaxpr.outvars)

    return jax.tree.unflatten(structure, jax.vmap(one)(jax.tree.leaves(batch)))


def _factored(
    plan: Plan, params: chex.ArrayTree, batch: chex.ArrayTree, arrays: tuple[Any, ...]
) -> Any:
    """The result, from the factors of all examples."""
    factored = [leaf for leaf in plan.leaves if not leaf.as_is]
    terms = [term for leaf in factored for term in leaf.terms]
    dense = [leaf.atom for leaf in plan.leaves if leaf.as_is]

    def one(example: list[Any]) -> Any:
        arguments = [*jax.tree.leaves(params), *example, *arrays]
        return plan.program.factors(arguments, [*plan.values, *dense], terms)

    outputs, factors = jax.vmap(one)(jax.tree.leaves(batch))
    values = outputs[: len(plan.values)]
    gradients, pairs = iter(outputs[len(plan.values) :]), iter(factors)
    leaves = [
        next(gradients) if leaf.as_is else leaf.assemble([next(pairs) for _ in leaf.terms])
        for leaf in plan.leaves
    ]
    return jax.tree.unflatten(plan.out_tree, opened([*values, *leaves]))
