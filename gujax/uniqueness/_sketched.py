"""GNQ from random projections of the gradients, corrected for what projecting does to it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from gujax.precision import exact_products
from gujax.sharding import automatic_axes
from gujax.uniqueness._linalg import unit_spd_inverse
from gujax.validation import check_positive

_LEAST_SHARE = 0.1  # least r / λ
_TOLERANCE = 0.005  # of the ridge; the standard error of a sketch of 1,000 numbers is ten times it
_MAX_STEPS = 20
_ROWS = 4096  # examples at a time


class SketchedUniqueness(NamedTuple):
    """GNQ estimated from sketches.

    Attributes:
        gnq: estimated GNQ, [N].
        standard_error: of `gnq`, over projections, [N]; 0 where the result is exact.
        ridge: the ridge for which this is the GNQ: larger than the one asked for if the sketch is
            too small for that.
        effective_dimension: the sum of all leverages, for that ridge.
    """

    gnq: Float[Array, " examples"]
    standard_error: Float[Array, " examples"]
    ridge: Float[Array, ""]
    effective_dimension: Float[Array, ""]


@automatic_axes
@exact_products
def sketched_uniqueness(
    sketches: Float[Array | np.ndarray, "examples size"], ridge: ArrayLike
) -> SketchedUniqueness:
    """GNQ of every example from sketches of size k of all gradients.

    Projecting acts as a ridge of its own. With S the second moment of the gradients, P the
    projection and d = tr S (S + λI)⁻¹ the effective dimension,

        Pᵀ (P S Pᵀ + rI)⁻¹ P  ≈  (S + λI)⁻¹,    r = λ (1 - d / k),

    so that GNQ for the ridge λ is computed with the smaller ridge r in the space of sketches, where
    tr (P S Pᵀ + rI)⁻¹ = k / λ determines r. With λ in place of r, GNQ would come out too small.

    Where that takes r below a tenth of λ (d above 0.9 k), the ridge is raised until it does not,
    and the result is the GNQ for the larger ridge that it states.

    The standard error is the jackknife's over the k coordinates of the sketches, divided by
    √(dλ/dr), by which the jackknife overstates it as d approaches k (checked by simulation).

    As for `gujax.uniqueness`, the precision limits the ridge: one below about eps times the
    largest eigenvalue of S is not resolved.

    Args:
        sketches: [N, k], from `gujax.sketch`, all with one key.
        ridge: λ > 0, a scalar, in the units of a squared gradient norm.

    Returns:
        GNQ and its standard error [N], the ridge, and the effective dimension.

    Raises:
        ValueError: `sketches` is no matrix, or `ridge` is not positive.

    Source: the equivalence is that of LeJeune et al., arXiv 2211.03751; the jackknife is
    Efron & Stein, Annals of Statistics 9 (1981).
    """
    if jnp.ndim(sketches) != 2:
        raise ValueError(f"sketches must be a matrix [N, k], got shape {jnp.shape(sketches)}")
    check_positive("ridge", ridge)
    sketches = jnp.asarray(sketches)
    return _estimate(sketches, jnp.asarray(ridge, sketches.dtype))


@jax.jit
def _estimate(
    sketches: Float[Array, "examples size"], ridge: Float[Array, ""]
) -> SketchedUniqueness:
    size = sketches.shape[1]
    inverse = _equivalent_inverse(sketches.T @ sketches, ridge)
    slope = _slope(inverse)

    def one(x: Float[Array, "size"]) -> tuple[Array, Array, Array]:
        dual = inverse @ x
        h = jnp.clip(x @ dual, 0, 1)
        complement = jnp.maximum(1 - h, jnp.finfo(h.dtype).eps)
        # What leaving out one coordinate takes from h, in closed form.
        change = jnp.square(dual) / jnp.diagonal(inverse)
        h_error = jnp.sqrt((size - 1) * jnp.var(change) / slope)
        return h / complement, h_error / jnp.square(complement), h

    gnq, standard_error, h = lax.map(one, sketches, batch_size=min(_ROWS, len(sketches)))
    return SketchedUniqueness(gnq, standard_error, _represented(inverse), jnp.sum(h))


def _equivalent_inverse(
    moment: Float[Array, "size size"], ridge: Float[Array, ""]
) -> Float[Array, "size size"]:
    """(moment + r I)^-1, with the r that stands for the ridge, found by Newton's method.

    The ridge λ that r stands for is an increasing, concave function of r, so that the iteration
    rises to the root. Where λ would exceed 10 r, it converges to λ = 10 r instead.
    """

    def inverse(r: Array) -> Array:
        scale = lax.rsqrt(jnp.diagonal(moment) + r)
        scaled = scale[:, None] * moment * scale[None, :] + jnp.diag(r * jnp.square(scale))
        return scale[:, None] * unit_spd_inverse(scaled) * scale[None, :]

    def unfinished(state: tuple[Array, Array, Array, Array]) -> Array:
        step, r, previous, current = state
        off = jnp.abs(_represented(current) - ridge) > _TOLERANCE * ridge
        return off & (jnp.abs(r - previous) > _TOLERANCE * r) & (step < _MAX_STEPS)

    def newton(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        step, r, _, current = state
        value = _represented(current)
        new = jnp.maximum(r - (value - ridge) / _slope(current), _LEAST_SHARE * value)
        return step + 1, new, r, inverse(new)

    start = (jnp.zeros((), int), ridge, -ridge, inverse(ridge))
    return lax.while_loop(unfinished, newton, start)[-1]


def _represented(inverse: Float[Array, "size size"]) -> Float[Array, ""]:
    """The ridge λ that (P S P^T + r I)^-1 stands for."""
    return len(inverse) / jnp.trace(inverse)


def _slope(inverse: Float[Array, "size size"]) -> Float[Array, ""]:
    """Derivative of the ridge λ by r, at least 1."""
    return jnp.square(_represented(inverse)) * jnp.mean(jnp.square(inverse)) * len(inverse)
