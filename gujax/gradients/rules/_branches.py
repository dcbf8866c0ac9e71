"""`cond`: only the branch taken uses the parameter."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

from gujax.gradients._program import Program, nested, refuse_references, rule
from gujax.gradients._terms import Accumulator, Inner, Term, UnfactorableError


@rule("cond")
def _cond(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """The terms of all branches; those of branches not taken are zero."""
    refuse_references(eqn)
    terms: list[Term] = []
    for branch, closed in enumerate(eqn.params["branches"]):
        body = program.body(eqn, closed, branch)
        for term in body.resolve(body.jaxpr.outvars[index]):
            if isinstance(term, Accumulator):
                raise UnfactorableError("a branch passes a gradient through")
            terms.append(term.forwarded(Inner(eqn, term, index, branch)))
    return terms


@nested("cond")
def _run_cond(
    program: Program, eqn: core.JaxprEqn, args: list[Any], wanted: set[int], inner: list[Inner]
) -> tuple[list[Any], list[Any]]:
    selected, *operands = args
    indices = sorted(wanted)
    bodies = [
        program.body(eqn, closed, branch) for branch, closed in enumerate(eqn.params["branches"])
    ]

    def run(branch: int, operands: list[Any]) -> tuple[list[Any], list[Any]]:
        body = bodies[branch]
        return body.factors(
            operands,
            [body.jaxpr.outvars[i] for i in indices],
            [atom.term for atom in inner if atom.branch == branch],
        )

    shapes = [jax.eval_shape(lambda ops, b=b: run(b, ops)[1], operands) for b in range(len(bodies))]

    def whole(branch: int, operands: list[Any]) -> tuple[list[Any], list[Any]]:
        values, factors = run(branch, operands)
        parts = {b: iter(shapes[b]) for b in range(len(bodies))}
        parts[branch] = iter(factors)
        # A zero error makes the term zero, whatever its other factor is.
        padded = [jax.tree.map(_value, next(parts[atom.branch])) for atom in inner]
        return values, padded

    branches = [lambda ops, b=b: whole(b, ops) for b in range(len(bodies))]
    values, factors = lax.switch(selected, branches, operands)
    outputs: list[Any] = [None] * len(eqn.outvars)
    for i, value in zip(indices, values, strict=True):
        outputs[i] = value
    return outputs, factors


def _value(x: Any) -> Any:
    return jnp.zeros_like(x) if isinstance(x, jax.ShapeDtypeStruct) else x
