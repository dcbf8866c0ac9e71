"""GNQ from random projections of the gradients, corrected for what projecting does to it."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from gujax.uniqueness.linalg import unit_spd_inverse

# The projection cannot stand for a ridge that needs a smaller one than this part of it.
_LEAST_SHARE = 0.1
_TOLERANCE = 1e-3
_MAX_STEPS = 12


class SketchedUniqueness(NamedTuple):
    """GNQ estimated from sketches.

    Attributes:
        gnq: estimated GNQ, [N].
        standard_error: its standard error over projections, [N].
        ridge: the ridge for which this is the GNQ; larger than the one asked for if the sketch is
            too small for that.
        effective_dimension: estimate of the sum of all leverages.
    """

    gnq: Float[Array, "examples"]
    standard_error: Float[Array, "examples"]
    ridge: Float[Array, ""]
    effective_dimension: Float[Array, ""]


def sketched_uniqueness(
    sketches: Float[Array, "examples size"], ridge: Float[Array, ""]
) -> SketchedUniqueness:
    """GNQ of every example from sketches of size k of all gradients.

    A projection acts as an additional ridge: with S the second moment of the gradients and P the
    projection,

        P^T (P S P^T + r I)^-1 P  ≈  (S + ridge I)^-1,    r = ridge (1 - d / k),

    where d = tr S (S + ridge I)^-1 is the effective dimension (arXiv 2211.03751, theorem 4.1). So
    the smaller ridge r is used in sketch space; it is the root of 1 / ridge = tr M(r)^-1 / k, with
    M(r) = P S P^T + r I. Uncorrected, GNQ comes out too small by a factor of about 1 - d / k.

    The standard error is the jackknife's over coordinates of the sketch, in closed form: leaving
    out coordinate s changes leverage h_j by -(X M^-1)_js^2 / (M^-1)_ss, X being the sketches.

    A root below a tenth of the ridge (d / k above 0.9) is not used: the result is then the GNQ for
    the larger ridge that it reports.

    As for `gujax.uniqueness`, a ridge below about k * eps times the largest squared norms is not
    resolved in that precision.

    Args:
        sketches: [N, k], from `gujax.gradients.sketch`, all with one key.
        ridge: lambda > 0, a scalar, in squared units of the gradient.

    Returns:
        Estimate, standard error, ridge, effective dimension.
    """
    k = sketches.shape[1]
    moment = sketches.T @ sketches

    def inverse(r: Array) -> Float[Array, "size size"]:
        scale = lax.rsqrt(jnp.diagonal(moment) + r)
        scaled = scale[:, None] * moment * scale[None, :] + jnp.diag(r * jnp.square(scale))
        return scale[:, None] * unit_spd_inverse(scaled) * scale[None, :]

    def represented(M_inverse: Array) -> Array:
        """The ridge that this one in sketch space stands for: a concave function of it."""
        return k / jnp.trace(M_inverse)

    def unfinished(state: tuple[Array, Array, Array, Array]) -> Array:
        step, r, previous, M_inverse = state
        off = jnp.abs(represented(M_inverse) - ridge) > _TOLERANCE * ridge
        return off & (r != previous) & (step < _MAX_STEPS)

    def newton(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        step, r, _, M_inverse = state
        value = represented(M_inverse)
        slope = jnp.square(value) * jnp.sum(jnp.square(M_inverse)) / k
        new = jnp.clip(r - (value - ridge) / slope, _LEAST_SHARE * ridge, ridge)
        return step + 1, new, r, inverse(new)

    ridge = jnp.asarray(ridge, sketches.dtype)
    start = (jnp.zeros((), int), ridge, -ridge, inverse(ridge))
    _, _, _, M_inverse = lax.while_loop(unfinished, newton, start)

    dual = sketches @ M_inverse
    h = jnp.clip(jnp.sum(sketches * dual, axis=1), 0, 1)
    complement = jnp.maximum(1 - h, jnp.finfo(h.dtype).eps)
    change = jnp.square(dual) / jnp.diagonal(M_inverse)
    variance = (k - 1) * jnp.var(change, axis=1)
    return SketchedUniqueness(
        gnq=h / complement,
        standard_error=jnp.sqrt(variance) / jnp.square(complement),
        ridge=represented(M_inverse),
        effective_dimension=jnp.sum(h),
    )
