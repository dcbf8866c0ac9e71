"""A program traced for arrays with explicit mesh axes, made one for automatic axes.

A loss may close over arrays with explicit axes and say where its intermediate results lie
(`out_sharding=`, `jax.reshard`), so it is traced as it is. For all examples at a time the program
is run with automatic axes (see `gujax.sharding`), where such types and wishes are errors: they are
dropped, and XLA places what lies between.
"""

from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
from jax.extend import core

from gujax.sharding import automatic_axes, example_axes, explicit_mesh

# Primitives that only say where an array lies, and parameters of others that do.
_PLACING = ("reshard", "sharding_constraint")
_PLACED = ("sharding", "out_sharding")


def on_any_mesh(
    function: Callable[..., Any],
    closed: core.ClosedJaxpr,
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    shared: chex.ArrayTree,
) -> Any:
    """`function(closed, params, batch, shared)`, with automatic axes where there are explicit ones.

    Results [examples, ...] are spread over these axes as the batch is.
    """
    consts = list(closed.consts)
    if explicit_mesh((consts, params, batch, shared)) is None:
        return function(closed, params, batch, shared)

    def run(consts: list[Any], *arguments: chex.ArrayTree) -> Any:
        return function(_with_automatic_axes(closed, consts), *arguments)

    return automatic_axes(run, example_axes(batch))(consts, params, batch, shared)


def _with_automatic_axes(closed: core.ClosedJaxpr, consts: Sequence[Any]) -> core.ClosedJaxpr:
    """The program without explicit axes, traced again in the mesh that is set here.

    Args:
        closed: the program.
        consts: what takes the place of `closed.consts`, the arrays that it closes over.
    """
    jaxpr = closed.jaxpr

    def run(*args: Any) -> list[Any]:
        values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        values.update(zip(jaxpr.invars, args, strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, core.Literal) else values[atom]

        for eqn in jaxpr.eqns:
            outputs: Sequence[Any] = [read(atom) for atom in eqn.invars]
            if eqn.primitive.name not in _PLACING:
                params = {name: _automatic(name, value) for name, value in eqn.params.items()}
                outputs = eqn.primitive.bind(*outputs, **eqn.primitive.get_bind_params(params))
                outputs = outputs if eqn.primitive.multiple_results else [outputs]
            values.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    return jax.make_jaxpr(run)(
        *(
            jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)
            for aval in closed.in_avals
        )
    )


def _automatic(name: str, value: Any) -> Any:
    """A parameter of an equation without explicit axes, programs inside of it included."""
    if name in _PLACED:
        return None
    if type(value) in (tuple, list):  # not a named tuple
        return type(value)(_automatic("", part) for part in value)
    if isinstance(value, core.ClosedJaxpr) and _of_arrays(value.jaxpr):
        return _with_automatic_axes(value, value.consts)
    if isinstance(value, core.Jaxpr) and not value.constvars and _of_arrays(value):
        return _with_automatic_axes(core.ClosedJaxpr(value, ()), ()).jaxpr
    return value


def _of_arrays(jaxpr: core.Jaxpr) -> bool:
    """Whether a program takes arrays only: not so a kernel, whose references lie on one device."""
    return all(hasattr(var.aval, "weak_type") for var in jaxpr.invars)
