"""Steps between a product and the gradient: sums, signs, scalars and changes of layout."""

import jax.numpy as jnp
from jax import Array
from jax.extend import core

from gujax.gradients._layout import Negate, Pad, Reshape, Reverse, Transpose
from gujax.gradients._program import Program, aval, rule
from gujax.gradients._terms import Factors, Term, UnfactorableError

ELEMENTWISE = "used elementwise: its gradient is no product, and no larger than an activation"


@rule("add_any", "add", "sub")
def _sum(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """A parameter used at several sites: its gradient adds up over them."""
    left, right = eqn.invars
    if aval(left).shape != aval(right).shape:
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
    """A product times a scalar, or an outer product written as an elementwise one."""
    array, other = eqn.invars
    if eqn.primitive.name == "mul":
        outer = _outer_product(program, eqn)
        if outer is not None:
            return [outer]
    if eqn.primitive.name == "mul" and program.scalar(other) is None:
        array, other = other, array
    scalar = program.scalar(other)
    if scalar is None or aval(array).shape != aval(eqn.outvars[0]).shape:
        raise UnfactorableError(ELEMENTWISE)
    divide = eqn.primitive.name == "div"
    return [term.scaled(scalar, divide=divide) for term in program.resolve(array)]


def _outer_product(program: Program, eqn: core.JaxprEqn) -> Term | None:
    """a[:, None] * b[None, :], as in `jnp.outer`: every axis varies with one factor only."""
    shape = aval(eqn.outvars[0]).shape
    left_axes, right_axes = (sorted(program.varying_axes(atom)) for atom in eqn.invars)
    axes = left_axes + right_axes
    every = [axis for axis, size in enumerate(shape) if size > 1]
    if not left_axes or not right_axes or sorted(axes) != every:
        return None

    def build(left: Array, right: Array) -> Factors:
        return _along(left, left_axes)[None], _along(right, right_axes)[None]

    rows = tuple(shape[axis] for axis in left_axes)
    columns = tuple(shape[axis] for axis in right_axes)
    term = Term("product", (), 1, rows, columns, tuple(eqn.invars), build)
    order = sorted(range(len(axes)), key=lambda position: axes[position])
    return term.then(Transpose(tuple(order))).then(Reshape(shape))


def _along(x: Array, axes: list[int]) -> Array:
    """The part of `x` along `axes`, given that it is constant along all others."""
    return x[tuple(slice(None) if axis in axes else 0 for axis in range(x.ndim))]


@rule("convert_element_type", "copy", "copy_p", "optimization_barrier", "reduce_precision", "pvary")
def _cast(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """Casts of a product are left out: its factors are multiplied in the accumulation type."""
    (source, target) = (aval(eqn.invars[index]).dtype, aval(eqn.outvars[index]).dtype)
    if not jnp.issubdtype(source, jnp.floating) or not jnp.issubdtype(target, jnp.floating):
        raise UnfactorableError(f"a cast from {source} to {target}")
    return program.resolve(eqn.invars[index])


@rule("transpose")
def _transpose(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    step = Transpose(tuple(eqn.params["permutation"]))
    return [term.then(step) for term in program.resolve(eqn.invars[0])]


@rule("reshape", "squeeze", "expand_dims", "broadcast_in_dim", "reduce_sum")
def _reshape(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """Also sums and broadcasts, as long as they only touch axes of length one.

    Any other sum means that the parameter was broadcast (a bias, a scale): its gradient is small
    once summed, and is best kept dense.
    """
    source, target = aval(eqn.invars[0]), aval(eqn.outvars[0])
    if source.size != target.size:
        raise UnfactorableError(ELEMENTWISE)
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
    shape = aval(eqn.invars[0]).shape
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
    total = aval(eqn.outvars[0]).shape[axis]
    terms: list[Term] = []
    start = 0
    for piece in eqn.invars:
        size = aval(piece).shape[axis]
        config = [(0, 0, 0)] * aval(piece).ndim
        config[axis] = (start, total - start - size, 0)
        terms += [term.then(Pad(tuple(config))) for term in program.resolve(piece)]
        start += size
    return terms
