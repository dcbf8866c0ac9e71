"""GNQ and the matched filter under many ridges, from one eigendecomposition of the Gram matrix."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class Spectrum(NamedTuple):
    """Eigendecomposition of a Gram matrix K = V diag(e) Vᵀ.

    Attributes:
        values: e, at least 0, [n].
        vectors: V, [n, n].
        unit: mean of K's diagonal, the mean squared gradient norm.
    """

    values: Float[Array, " n"]
    vectors: Float[Array, "n n"]
    unit: Float[Array, ""]


def spectrum(K: Float[Array, "n n"]) -> Spectrum:
    """Decomposes a Gram matrix."""
    values, vectors = jnp.linalg.eigh(K)
    return Spectrum(jnp.maximum(values, 0), vectors, jnp.mean(jnp.diagonal(K)))


def uniqueness_under(
    decomposed: Spectrum, relative_ridges: Float[Array, " ridges"]
) -> Float[Array, "ridges n"]:
    """GNQ of every example under every ridge, which is relative to the mean squared gradient norm.

    The ridges must be well above the precision of the decomposition, about n·eps.
    """
    ridges = relative_ridges[:, None] * decomposed.unit
    squares = jnp.square(decomposed.vectors).T
    leverage = (decomposed.values / (decomposed.values + ridges)) @ squares
    return leverage / ((ridges / (decomposed.values + ridges)) @ squares)


def filtered(
    decomposed: Spectrum,
    relative_ridge: Float[Array, ""],
    included: Float[Array, "n draws"],
    noise: Float[Array, "n draws"],
    inclusion_probability: float,
) -> tuple[Float[Array, "n draws"], Float[Array, " n"]]:
    """The matched filter of every example, on releases that do not hold the example itself.

    A release is U = Σ_k b_k g_k + z, z ~ N(0, σ² I), σ² = λ p(1−p). The filter of example j is

        s_j = g_jᵀ C_j⁻¹ (U − p Σ_{k≠j} g_k),    C_j = p(1−p) (S_j + λ I),

    of mean 0 and variance μ_j² = g_jᵀ C_j⁻¹ g_j where j is absent; its presence adds μ_j². With
    c = b − p and H = K (K + λI)⁻¹, in terms of the Gram matrix,

        p(1−p) (1 − H_jj) s_j = (H c)_j − H_jj c_j + ((K + λI)⁻¹ G z)_j.

    Args:
        decomposed: of the Gram matrix of all gradients that may be in the sum.
        relative_ridge: λ over the mean squared gradient norm.
        included: b for each draw; an example's own entry is not used for it.
        noise: G z for each draw with z ~ N(0, I): its inner products with the gradients.
        inclusion_probability: p.

    Returns:
        s_j in absence, and μ_j².
    """
    values, vectors, unit = decomposed
    variance = inclusion_probability * (1 - inclusion_probability)
    ridge = relative_ridge * unit
    shrunk = values / (values + ridge)
    centered = included - inclusion_probability
    leverage = jnp.square(vectors) @ shrunk
    complement = jnp.square(vectors) @ (ridge / (values + ridge))
    sums = (vectors.T @ centered) * shrunk[:, None]
    noises = jnp.sqrt(ridge * variance) * (vectors.T @ noise) / (values + ridge)[:, None]
    statistic = vectors @ (sums + noises) - leverage[:, None] * centered
    return statistic / (complement * variance)[:, None], leverage / complement / variance
