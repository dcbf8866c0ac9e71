"""The cosine distance of a candidate's gradient that is never formed.

The gradient of a fully connected layer is a product of its input and of what is propagated back to
it. Forming it, and differentiating through it, moves many times more memory than the products that
the distance needs: ⟨x δᵀ, G⟩ = xᵀ G δ and ‖x δᵀ‖² = ‖x‖² ‖δ‖².
"""

import math
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from gujax.attacks.inversion._matching import cosine_distance_of
from gujax.gradients import FactoredLeaf, per_example_grads
from gujax.training import BatchGradient, GradientFn
from gujax.trees import LeafWeights, chosen, named_leaves

_WORTH_IT = 2**15  # entries of a parameter; a smaller one's gradient stays in a cache


def pays(gradient_fn: GradientFn, params: PyTree, examples: PyTree) -> TypeGuard[BatchGradient]:
    """Whether a parameter is so large that its gradient had better not be formed, and need not be.

    Only of a `BatchGradient` is it known how the gradient comes about.
    """
    if not isinstance(gradient_fn, BatchGradient):
        return False
    grads = jax.eval_shape(
        per_example_grads(gradient_fn.loss_fn), params, gradient_fn.examples(examples)
    )
    return any(
        _kept(leaf) and math.prod(leaf.shape) >= _WORTH_IT for _, leaf in named_leaves(grads)
    )


def factored_cosine_distance(
    gradient_fn: BatchGradient,
    params: PyTree,
    examples: PyTree,
    leaf_weights: LeafWeights,
    target: list[Array],
) -> Float[Array, ""]:
    """`cosine_distance` of ``gradient_fn(params, examples)`` and what was shared.

    Args:
        gradient_fn: the attacker's model of what was shared.
        params: the model's parameters.
        examples: the candidate.
        leaf_weights: which leaves are matched.
        target: what was shared, as `weigh` gives it.

    Returns:
        The distance.
    """
    grads = per_example_grads(gradient_fn.loss_fn)(params, gradient_fn.examples(examples))
    product = squared = other = jnp.zeros(())
    for (leaf, weight), observed in zip(chosen(leaf_weights, grads), target, strict=True):
        of_leaf, norm = _kept_products(leaf, observed) if _kept(leaf) else _products(leaf, observed)
        product += weight**0.5 * of_leaf
        squared += weight * norm
        other += jnp.vdot(observed, observed)
    return cosine_distance_of(product, squared, other)


def _kept(leaf: Any) -> bool:
    """Whether the leaf's factors are smaller than the mean gradient itself."""
    if not isinstance(leaf, FactoredLeaf):
        return False
    return leaf.num_kept < math.prod(leaf.shape)


def _kept_products(leaf: FactoredLeaf, observed: Array) -> tuple[Array, Array]:
    """Inner product of the mean gradient with what was shared, and its squared norm."""
    mean = jnp.full(leaf.num_examples, 1 / leaf.num_examples)
    # The sum over examples is linear in their weights: its transpose gives each one's product.
    _, products = jax.vjp(leaf.weighted_sum, mean)
    return jnp.vdot(mean, products(observed)[0]), mean @ leaf.gram(leaf) @ mean


def _products(leaf: FactoredLeaf | Array, observed: Array) -> tuple[Array, Array]:
    size = leaf.num_examples if isinstance(leaf, FactoredLeaf) else len(leaf)
    mean = jnp.full(size, 1 / size)
    dense = (
        leaf.weighted_sum(mean)
        if isinstance(leaf, FactoredLeaf)
        else jnp.tensordot(mean.astype(leaf.dtype), leaf, axes=1)
    )
    return jnp.vdot(dense, observed), jnp.vdot(dense, dense)
