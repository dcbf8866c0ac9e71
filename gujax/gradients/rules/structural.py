"""Steps between a product and the gradient: sums, signs, scalars and changes of layout."""

import jax.numpy as jnp
from jax.extend import core

from gujax.gradients.placement import Negate, Pad, Reshape, Reverse, Transpose
from gujax.gradients.program import Program, rule
from gujax.gradients.terms import Term, UnfactorableError


@rule("add_any", "add", "sub")
def _sum(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """A parameter used at several sites: its gradient adds up over them."""
    left, right = eqn.invars
    if left.aval.shape != right.aval.shape:
        raise UnfactorableError("a broadcast value is added to the gradient")
    terms = program.resolve(right)
    if eqn.primitive.name == "sub":
        terms = [term.then(Negate()) for term in terms]
    return program.resolve(left) + terms


@rule("neg")
def _negation(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    return [term.then(Negate()) for term in program.resolve(eqn.invars[0])]


@rule("mul", "div")
def _scaling(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """A product times a scalar; times an array, the result has no small factors."""
    array, other = eqn.invars
    if eqn.primitive.name == "mul" and program.scalar(other) is None:
        array, other = other, array
    scalar = program.scalar(other)
    if scalar is None or array.aval.shape != eqn.outvars[0].aval.shape:
        raise UnfactorableError("an elementwise use: its gradient is no product")
    divide = eqn.primitive.name == "div"
    return [term.scaled(scalar, divide=divide) for term in program.resolve(array)]


@rule("convert_element_type", "copy", "copy_p", "optimization_barrier", "reduce_precision")
def _cast(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """Casts of a product are left out: its factors are multiplied in the accumulation type."""
    (source, target) = (eqn.invars[index].aval.dtype, eqn.outvars[index].aval.dtype)
    if not jnp.issubdtype(source, jnp.floating) or not jnp.issubdtype(target, jnp.floating):
        raise UnfactorableError(f"a cast from {source} to {target}")
    return program.resolve(eqn.invars[index])


@rule("transpose")
def _transpose(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    step = Transpose(tuple(eqn.params["permutation"]))
    return [term.then(step) for term in program.resolve(eqn.invars[0])]


@rule("reshape", "squeeze", "expand_dims", "broadcast_in_dim")
def _reshape(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    source, target = eqn.invars[0].aval, eqn.outvars[0].aval
    if (
        source.size != target.size
        or eqn.params.get("dimensions")
        and (eqn.primitive.name == "reshape")
    ):
        raise UnfactorableError("a value is broadcast into the gradient")
    return [term.then(Reshape(target.shape)) for term in program.resolve(eqn.invars[0])]


@rule("reduce_sum")
def _reduce_sum(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """Only over axes of length one: any other sum shrinks the product to something small."""
    source, target = eqn.invars[0].aval, eqn.outvars[0].aval
    if source.size != target.size:
        raise UnfactorableError("a broadcast use: its gradient is a sum, already small")
    return [term.then(Reshape(target.shape)) for term in program.resolve(eqn.invars[0])]


@rule("rev")
def _reverse(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    step = Reverse(tuple(eqn.params["dimensions"]))
    return [term.then(step) for term in program.resolve(eqn.invars[0])]


@rule("pad")
def _pad(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """A slice of a parameter was used: the rest of its gradient is zero."""
    operand, value = eqn.invars
    config = tuple(tuple(int(n) for n in entry) for entry in eqn.params["padding_config"])
    if not program.is_zero(value) or any(n < 0 for entry in config for n in entry):
        raise UnfactorableError("padded with values, or cropped")
    return [term.then(Pad(config)) for term in program.resolve(operand)]  # type: ignore[arg-type]


@rule("slice")
def _slice(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """A concatenation of parameters was used: each gets its part of the product."""
    terms = program.resolve(eqn.invars[0])
    shape = eqn.invars[0].aval.shape
    starts, limits = eqn.params["start_indices"], eqn.params["limit_indices"]
    strides = eqn.params["strides"] or (1,) * len(shape)
    for axis, (start, limit, stride) in enumerate(zip(starts, limits, strides, strict=True)):
        if (start, limit, stride) != (0, shape[axis], 1):
            terms = [term.sliced(axis, start, limit, stride) for term in terms]
    return terms


@rule("split")
def _split(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    axis, sizes = eqn.params["axis"], eqn.params["sizes"]
    start = sum(sizes[:index])
    terms = program.resolve(eqn.invars[0])
    return [term.sliced(axis, start, start + sizes[index], 1) for term in terms]


@rule("concatenate")
def _concatenate(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """A parameter was split: the gradients of the pieces stand side by side."""
    axis = eqn.params["dimension"]
    total = eqn.outvars[0].aval.shape[axis]
    terms: list[Term] = []
    start = 0
    for piece in eqn.invars:
        size = piece.aval.shape[axis]
        config = [(0, 0, 0)] * piece.aval.ndim
        config[axis] = (start, total - start - size, 0)
        terms += [term.then(Pad(tuple(config))) for term in program.resolve(piece)]
        start += size
    return terms
