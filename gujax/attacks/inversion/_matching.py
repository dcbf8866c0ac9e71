"""How far a candidate's gradient is from the one that was shared."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

MatchingLoss = Callable[[Sequence[Array], Sequence[Array]], Float[Array, ""]]
"""Maps the leaves of the candidate's gradient and of the shared one to a scalar, least at 0."""


def squared_distance(candidate: Sequence[Array], observed: Sequence[Array]) -> Float[Array, ""]:
    """Squared Euclidean distance, Zhu et al. 2019 (arXiv 1906.08935, equation 4).

    Args:
        candidate: leaves of the candidate's gradient.
        observed: leaves of the shared gradient.

    Returns:
        Σ (candidate - observed)² over all entries of all leaves.
    """
    return sum((jnp.sum((a - b) ** 2) for a, b in zip(candidate, observed)), jnp.zeros(()))


def cosine_distance(candidate: Sequence[Array], observed: Sequence[Array]) -> Float[Array, ""]:
    """One minus the cosine of the whole gradients' angle, Geiping et al. 2020 (arXiv 2003.14053).

    It ignores the gradient's norm, which tells how well the model is trained and not what the
    example is (equation 4 there). A gradient that is 0 has distance 1 and derivative 0.

    Args:
        candidate: leaves of the candidate's gradient.
        observed: leaves of the shared gradient.

    Returns:
        1 - ⟨candidate, observed⟩ / (‖candidate‖ ‖observed‖), between 0 and 2.
    """
    product = sum((jnp.vdot(a, b) for a, b in zip(candidate, observed)), jnp.zeros(()))
    return cosine_distance_of(product, _squared_norm(candidate), _squared_norm(observed))


def cosine_distance_of(
    product: Float[Array, ""], squared: Float[Array, ""], other: Float[Array, ""]
) -> Float[Array, ""]:
    """Cosine distance from the inner product of two vectors and their squared norms."""
    return 1 - product * _reciprocal_root(squared) * _reciprocal_root(other)


def _squared_norm(leaves: Sequence[Array]) -> Float[Array, ""]:
    return sum((jnp.vdot(a, a) for a in leaves), jnp.zeros(()))


def _reciprocal_root(squared: Float[Array, ""]) -> Float[Array, ""]:
    # Anything larger than max^(-2/3): there the derivative, the power -3/2, overflows.
    floor = float(jnp.finfo(squared.dtype).max) ** -0.6
    return jax.lax.rsqrt(jnp.maximum(squared, floor))
