"""Perturbations of what is shared: noise, pruning, and either of them on some leaves only.

Each is an optax transformation of ordinary gradients (after one of `gujax.transforms`, which reduce
per-example gradients), so they chain with each other and with an optimizer. `perturb` applies one
to a single gradient. None of them gives a guarantee; `gujax.transforms.dp_sgd` does.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, PRNGKeyArray, PyTree

from gujax.transforms import add_noise
from gujax.trees import LeafWeights, named_leaves
from gujax.validation import check_nonnegative


class NoiseState(NamedTuple):
    """The PRNG key of the noise of the next step."""

    key: PRNGKeyArray


def gaussian_noise(std: ArrayLike, key: PRNGKeyArray) -> optax.GradientTransformation:
    """Add independent N(0, std²) to every entry.

    Noisy gradients, Zhu et al. 2019 (arXiv 1906.08935, section 5.1).

    Args:
        std: standard deviation, in units of the gradient.
        key: PRNG key of the first step; may be traced or batched by ``vmap``.

    Returns:
        The transformation, whose state is a `NoiseState`.

    Raises:
        ValueError: if ``std`` is negative.
    """
    return _noise(jax.random.normal, 1.0, std, key)


def laplacian_noise(std: ArrayLike, key: PRNGKeyArray) -> optax.GradientTransformation:
    """Add independent Laplacian noise of mean 0 to every entry, as `gaussian_noise`.

    Args:
        std: standard deviation, √2 times the distribution's scale, so that both kinds compare.
        key: PRNG key of the first step; may be traced or batched by ``vmap``.

    Returns:
        The transformation, whose state is a `NoiseState`.

    Raises:
        ValueError: if ``std`` is negative.
    """
    return _noise(jax.random.laplace, 2**-0.5, std, key)


def prune(fraction: float) -> optax.GradientTransformation:
    """Set the entries of least magnitude of each leaf to 0.

    Gradient compression, Lin et al. 2018 (arXiv 1712.01887, without its accumulation of what was
    left out), as a defense in Zhu et al. 2019 (arXiv 1906.08935, section 5.2).

    Args:
        fraction: share of entries that become 0. Of n entries the n − ⌊fraction · n⌋ largest are
            kept, at least one; of equal ones, those first in the leaf's (row-major) order.

    Returns:
        The transformation, without state.

    Raises:
        ValueError: if ``fraction`` is outside [0, 1).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction={fraction} must be at least 0 and below 1")

    def pruned(leaf: Array) -> Array:
        flat = jnp.ravel(leaf)
        kept = flat.size - int(fraction * flat.size)
        _, positions = jax.lax.top_k(jnp.abs(flat), kept)
        return jnp.zeros_like(flat).at[positions].set(flat[positions]).reshape(leaf.shape)

    return optax.stateless_with_tree_map(lambda leaf, _: pruned(leaf))


def partial_perturbation(
    transformation: optax.GradientTransformation, leaf_weights: LeafWeights
) -> optax.GradientTransformation:
    """Perturb only some leaves: PPP, PRECODE with partial perturbation.

    Scheliga, Mäder, Seeland 2022 (arXiv 2208.04767): noise on the leaves that the adaptive attack
    would match, those that the bottleneck does not make stochastic.

        partial_perturbation(gaussian_noise(1e-2, key), inversion.without(*model.stochastic))

    Args:
        transformation: what is done to them.
        leaf_weights: which leaves, as an attack is given them; those of positive weight.

    Returns:
        The transformation; other leaves are left as they are.

    Raises:
        ValueError: at ``init`` or ``update``, if no leaf is perturbed, or ``leaf_weights`` names
            one that is not there.
    """

    def mask(tree: PyTree) -> PyTree:
        paths = [path for path, _ in named_leaves(tree)]
        chosen = [weight > 0 for weight in leaf_weights(paths)]
        if not any(chosen):
            raise ValueError(
                f"leaf_weights chooses no leaf of the gradient; it has {', '.join(paths) or 'none'}"
            )
        return jax.tree.unflatten(jax.tree.structure(tree), chosen)

    return optax.masked(transformation, mask)


def perturb(transformation: optax.GradientTransformation, gradient: PyTree) -> PyTree:
    """One gradient as it is shared: the transformation's first step.

    Args:
        transformation: one of this module, or a chain of them.
        gradient: a pytree of arrays.

    Returns:
        The perturbed gradient, shaped as ``gradient``.
    """
    return transformation.update(gradient, transformation.init(gradient))[0]


def _noise(
    sampler: Callable[..., Array], unit: float, std: ArrayLike, key: PRNGKeyArray
) -> optax.GradientTransformation:
    """Noise of the sampler's distribution, which has standard deviation 1/unit."""
    check_nonnegative("std", std)

    def init(params: PyTree) -> NoiseState:
        # A copy, so that donating the state does not delete the caller's key.
        return NoiseState(jnp.copy(key))

    def update(
        updates: PyTree, state: NoiseState, params: PyTree | None = None
    ) -> tuple[PyTree, NoiseState]:
        next_key, noise_key = jax.random.split(state.key)
        return add_noise(updates, std * unit, noise_key, sampler), NoiseState(next_key)

    return optax.GradientTransformation(init, update)
