"""`scan`: weights shared over steps, and one weight per step."""

from typing import Any

from jax import lax
from jax.extend import core

from gujax.gradients._program import Program, nested, refuse_references, rule
from gujax.gradients._terms import Accumulator, Inner, Term, UnfactorableError


@rule("scan")
def _scan(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """Gradients come out of a backward scan in two ways.

    Weights shared over steps: the scan carries their gradient along and adds to it, so steps are
    more positions. One weight per step: the scan stacks the gradients, so steps are groups.
    """
    refuse_references(eqn)
    params = eqn.params
    num_carry, num_consts = params["num_carry"], params["num_consts"]
    body = _body(program, eqn)
    terms = body.resolve(body.jaxpr.outvars[index])
    markers = [term for term in terms if isinstance(term, Accumulator)]
    terms = [term for term in terms if not isinstance(term, Accumulator)]
    if index >= num_carry:
        if markers:
            raise UnfactorableError("partial sums of a gradient are stacked by a loop")
        return [t.stacked(params["length"], Inner(eqn, t, index)) for t in terms]
    carried = body.jaxpr.invars[num_consts + index]
    if [marker.var for marker in markers] != [carried] or body.uses(carried) != 1:
        raise UnfactorableError("a loop does more with a gradient than add to it")
    initial = program.resolve(eqn.invars[num_consts + index])
    return initial + [t.summed(params["length"], Inner(eqn, t, index)) for t in terms]


def _body(program: Program, eqn: core.JaxprEqn) -> Program:
    num_consts, num_carry = eqn.params["num_consts"], eqn.params["num_carry"]
    accumulators = range(num_consts, num_consts + num_carry)
    return program.body(eqn, eqn.params["jaxpr"], accumulators=accumulators)


@nested("scan")
def _run_scan(
    program: Program, eqn: core.JaxprEqn, args: list[Any], wanted: set[int], inner: list[Inner]
) -> tuple[list[Any], list[Any]]:
    params = eqn.params
    num_consts, num_carry = params["num_consts"], params["num_carry"]
    body = _body(program, eqn)
    consts, initial, xs = (
        args[:num_consts],
        args[num_consts : num_consts + num_carry],
        args[num_consts + num_carry :],
    )
    # A carried gradient that is read as factors only need not be added up.
    idle = {atom.output for atom in inner if atom.output < num_carry} - wanted
    carried = [i for i in range(num_carry) if i not in idle]
    stacked = [i for i in range(num_carry, len(eqn.outvars)) if i in wanted]

    def step(carry: list[Any], x: list[Any]) -> tuple[list[Any], Any]:
        full = list(initial)
        for i, value in zip(carried, carry, strict=True):
            full[i] = value
        outputs, factors = body.factors(
            [*consts, *full, *x],
            [body.jaxpr.outvars[i] for i in (*carried, *stacked)],
            [atom.term for atom in inner],
        )
        return outputs[: len(carried)], (outputs[len(carried) :], factors)

    final, (ys, factors) = lax.scan(
        step,
        [initial[i] for i in carried],
        xs,
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )
    outputs: list[Any] = [None] * len(eqn.outvars)
    for i, value in zip((*carried, *stacked), (*final, *ys), strict=True):
        outputs[i] = value
    return outputs, factors
