"""`conv_general_dilated`: the kernel gradient of a convolution, in 1 to 3 dimensions."""

import itertools
import math

import jax.numpy as jnp
from jax import Array, lax
from jax.extend import core

from gujax.gradients._layout import Reshape, Transpose
from gujax.gradients._program import Program, aval, rule
from gujax.gradients._terms import Factors, Term


@rule("conv_general_dilated")
def _convolution(program: Program, eqn: core.JaxprEqn, index: int) -> list[Term]:
    """JAX writes the kernel gradient as a convolution of the input with the error.

    Its output positions are the few taps of the kernel and its window is the whole error map, so
    out[n, f, tap] = Σ_{c, window} lhs[n, c, tap + window] rhs[f, c, window] is a matrix product of
    the input's patches (one strided slice per tap) and the error. Grouped and depthwise
    convolutions have a group axis.
    """
    params = eqn.params
    lhs_aval, rhs_aval = (aval(atom) for atom in eqn.invars)
    numbers = params["dimension_numbers"]
    feature_groups, batch_groups = params["feature_group_count"], params["batch_group_count"]
    groups = feature_groups * batch_groups  # JAX allows only one of the two to exceed 1
    lhs_n, lhs_c, *_ = (lhs_aval.shape[d] for d in numbers.lhs_spec)
    rhs_f, rhs_c, *window = (rhs_aval.shape[d] for d in numbers.rhs_spec)
    out_shape = tuple(aval(eqn.outvars[0]).shape[d] for d in numbers.out_spec)
    taps = out_shape[2:]
    n = lhs_n // batch_groups
    f = rhs_f // groups
    positions = rhs_c * math.prod(window)

    def build(lhs: Array, rhs: Array) -> Factors:
        lhs = jnp.transpose(lhs, numbers.lhs_spec)
        lhs = lax.pad(
            lhs,
            jnp.zeros((), lhs.dtype),
            [(0, 0, 0), (0, 0, 0)]
            + [
                (low, high, dilation - 1)
                for (low, high), dilation in zip(
                    params["padding"], params["lhs_dilation"], strict=True
                )
            ],
        )
        patches = []
        for tap in itertools.product(*(range(size) for size in taps)):
            start = [i * s for i, s in zip(tap, params["window_strides"], strict=True)]
            limit = [
                i + (size - 1) * step + 1
                for i, size, step in zip(start, window, params["rhs_dilation"], strict=True)
            ]
            patches.append(
                lax.slice(
                    lhs,
                    (0, 0, *start),
                    (lhs_n, lhs_c, *limit),
                    (1, 1, *params["rhs_dilation"]),
                )
            )
        left = jnp.stack(patches)  # [taps, lhs_n, lhs_c, *window]
        left = left.reshape(-1, batch_groups, n, feature_groups, rhs_c, *window)
        left = jnp.moveaxis(left, (1, 3), (0, 1))  # [groups..., taps, n, c, *window]
        left = left.reshape(groups, -1, n, positions)
        right = jnp.transpose(rhs, numbers.rhs_spec).reshape(groups, f, positions)
        return (
            jnp.moveaxis(left, -1, 1).reshape(groups, positions, *taps, n),
            jnp.moveaxis(right, -1, 1),
        )

    spatial = len(taps)
    term = Term("product", (groups,), positions, (*taps, n), (f,), tuple(eqn.invars), build)
    # [group, *taps, n, f] -> [n, group, f, *taps] -> [n, group * f, *taps] -> the output's layout
    to_nf = (1 + spatial, 0, 2 + spatial, *range(1, 1 + spatial))
    term = term.then(Transpose(to_nf)).then(Reshape(out_shape))
    order = sorted(range(len(out_shape)), key=lambda axis: numbers.out_spec[axis])
    return [term.then(Transpose(tuple(order)))]
