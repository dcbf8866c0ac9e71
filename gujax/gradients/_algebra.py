"""Linear algebra on per-example gradients, dense or factored leaves alike."""

import math
from abc import ABC, abstractmethod
from functools import reduce
from operator import add
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import PartitionSpec
from jaxtyping import Float

from gujax.gradients._factored import FactoredLeaf
from gujax.precision import exact_products
from gujax.sharding import automatic_axes, by_element, example_axes, whole
from gujax.trees import is_factored


class DeferredGrads(ABC):
    """Per-example gradients that are no pytree of leaves: they answer the questions below."""

    @property
    @abstractmethod
    def num_examples(self) -> int:
        """See `num_examples`."""

    @abstractmethod
    def gram(self, other: Any) -> Float[Array, "examples others"]:
        """See `gram`."""

    @abstractmethod
    def squared_norms(self) -> Float[Array, " examples"]:
        """See `squared_norms`."""

    @abstractmethod
    def weighted_sum(self, weights: Float[Array, " examples"]) -> chex.ArrayTree:
        """See `weighted_sum`."""

    @abstractmethod
    def materialize(self) -> chex.ArrayTree:
        """See `materialize`."""


def gram(
    grads: chex.ArrayTree, other: chex.ArrayTree | None = None
) -> Float[Array, "examples others"]:
    """Gram matrix K = G Gᵀ of per-example gradients, exact and without forming G.

    Args:
        grads: per-example gradients from `gujax.per_example_grads`.
        other: gradients of other examples of the same loss, microbatched or not; default: `grads`
            itself.

    Returns:
        K[i, j] = ⟨g_i, g_j⟩ over all parameters, computed and accumulated in float32 or better on
        any hardware, unless `jax.default_matmul_precision` is set. Units: squared units of the
        gradient. What the loss itself computes in fewer bits is in the gradients already.

    Raises:
        ValueError: `other` has another structure than `grads`.
    """
    if isinstance(grads, DeferredGrads):
        return grads.gram(grads if other is None else other)
    num_examples(grads)
    if isinstance(other, DeferredGrads):
        return other.gram(grads).T
    if other is not None:
        num_examples(other)
        _check_same_parameters(grads, other)
    return _gram(grads, other, _common_axes(grads, other))


@automatic_axes
@exact_products
def _gram(grads: chex.ArrayTree, other: chex.ArrayTree | None, axes: PartitionSpec) -> Array:
    leaves = _leaves(grads)
    others = leaves if other is None else _leaves(other)
    return _total(_leaf_gram(a, b, axes) for a, b in zip(leaves, others, strict=True))


def squared_norms(grads: chex.ArrayTree) -> Float[Array, " examples"]:
    """Squared norm of each example's gradient: diag K without the off-diagonal work."""
    if isinstance(grads, DeferredGrads):
        return grads.squared_norms()
    num_examples(grads)
    return _squared_norms(grads)


@automatic_axes
@exact_products
def _squared_norms(grads: chex.ArrayTree) -> Array:
    def norms(leaf: Array | FactoredLeaf) -> Array:
        if isinstance(leaf, FactoredLeaf):
            return leaf.squared_norms()
        return jnp.sum(jnp.square(_rows(leaf)), axis=1)

    return _total(norms(leaf) for leaf in _leaves(grads))


def weighted_sum(grads: chex.ArrayTree, weights: Float[Array, " examples"]) -> chex.ArrayTree:
    """Σ_i w_i g_i, structured like the parameters.

    With factored leaves this is the ordinary weight-gradient product with the back-propagated
    error scaled by the weights: clipping or gating needs no second backward pass.

    Args:
        grads: per-example gradients.
        weights: one weight per example; fold 1/B in here for a mean.
    """
    count = num_examples(grads)
    if jnp.shape(weights) != (count,):
        raise ValueError(f"weights must have shape ({count},), got {jnp.shape(weights)}")
    weights = jnp.asarray(weights)
    if isinstance(grads, DeferredGrads):
        return grads.weighted_sum(whole(weights))
    return _weighted_sum(grads, weights)


@automatic_axes
def _weighted_sum(grads: chex.ArrayTree, weights: Array) -> chex.ArrayTree:
    return jax.tree.map(lambda leaf: _leaf_sum(leaf, weights), grads, is_leaf=is_factored)


def gram_and_sum(
    grads: chex.ArrayTree, weights: Float[Array, " examples"]
) -> tuple[Float[Array, "examples examples"], chex.ArrayTree]:
    """`gram` and `weighted_sum` at once, in less time where both need the same products.

    Args:
        grads: per-example gradients.
        weights: one weight per example, which do not depend on the Gram matrix.
    """
    if isinstance(grads, DeferredGrads):
        return gram(grads), weighted_sum(grads, weights)
    num_examples(grads)
    return _gram_and_sum(grads, weights, example_axes(grads))


@automatic_axes
def _gram_and_sum(
    grads: chex.ArrayTree, weights: Array, axes: PartitionSpec
) -> tuple[Array, chex.ArrayTree]:
    leaves, structure = jax.tree.flatten(grads, is_leaf=is_factored)
    grams, sums = zip(*(_leaf_gram_and_sum(leaf, weights, axes) for leaf in leaves))
    return _total(grams), jax.tree.unflatten(structure, sums)


def materialize(grads: chex.ArrayTree) -> chex.ArrayTree:
    """Dense per-example gradients: every leaf [examples, *param.shape]."""
    if isinstance(grads, DeferredGrads):
        return grads.materialize()

    def dense(leaf: Array | FactoredLeaf) -> Array:
        if isinstance(leaf, FactoredLeaf):
            return leaf.materialize()
        return leaf

    def all_dense(grads: chex.ArrayTree) -> chex.ArrayTree:
        return jax.tree.map(dense, grads, is_leaf=is_factored)

    return automatic_axes(all_dense, example_axes(grads))(grads)


def num_examples(grads: chex.ArrayTree) -> int:
    """Number of examples whose gradients these are.

    Raises:
        ValueError: there is no leaf, or leaves disagree, as ordinary (batch) gradients do.
    """
    if isinstance(grads, DeferredGrads):
        return grads.num_examples
    counts = {
        leaf.num_examples if isinstance(leaf, FactoredLeaf) else (*jnp.shape(leaf), None)[0]
        for leaf in _leaves(grads)
    }
    if len(counts) != 1 or None in counts:
        raise ValueError(
            "expected per-example gradients, every leaf with the same leading axis of examples "
            f"(see gujax.per_example_grads), got leading axes {sorted(map(str, counts))}"
        )
    (count,) = counts
    return count  # type: ignore[return-value]


def _leaves(grads: chex.ArrayTree) -> list[Any]:
    return jax.tree.leaves(grads, is_leaf=is_factored)


def _check_same_parameters(grads: chex.ArrayTree, other: chex.ArrayTree) -> None:
    shapes, other_shapes = (
        {
            jax.tree_util.keystr(path): _parameter_shape(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(x, is_leaf=is_factored)
        }
        for x in (grads, other)
    )
    for name in shapes | other_shapes:
        shape, other_shape = shapes.get(name), other_shapes.get(name)
        if shape != other_shape:
            raise ValueError(
                f"other has a gradient of shape {other_shape} for the parameter {name}, grads of "
                f"shape {shape}: both must come from the same loss and parameters"
            )


def _parameter_shape(leaf: Array | FactoredLeaf) -> tuple[int, ...]:
    return leaf.shape if isinstance(leaf, FactoredLeaf) else jnp.shape(leaf)[1:]


def _common_axes(grads: chex.ArrayTree, other: chex.ArrayTree | None) -> PartitionSpec:
    """The mesh axes over which both are spread by example; none where they differ."""
    axes = example_axes(grads)
    return axes if other is None or example_axes(other) == axes else PartitionSpec()


def _total(parts: Any) -> Array:
    return reduce(add, parts)


def _leaf_gram(a: Array | FactoredLeaf, b: Array | FactoredLeaf, axes: PartitionSpec) -> Array:
    if isinstance(a, FactoredLeaf) and isinstance(b, FactoredLeaf):
        return a.gram(b, axes)
    a, b = (x.materialize() if isinstance(x, FactoredLeaf) else x for x in (a, b))
    mine, theirs = (by_element(_rows(x), axes) for x in (a, b))
    return jnp.matmul(mine, theirs.T, preferred_element_type=_accumulation_type(a))


def _leaf_sum(leaf: Array | FactoredLeaf, weights: Array) -> Array:
    if isinstance(leaf, FactoredLeaf):
        return leaf.weighted_sum(weights)
    dtype = _accumulation_type(leaf)
    total = jnp.einsum("b,b...->...", weights.astype(dtype), leaf, preferred_element_type=dtype)
    return total.astype(leaf.dtype)


def _leaf_gram_and_sum(
    leaf: Array | FactoredLeaf, weights: Array, axes: PartitionSpec
) -> tuple[Array, Array]:
    if isinstance(leaf, FactoredLeaf):
        return leaf.gram_and_sum(weights, axes)
    return exact_products(_leaf_gram)(leaf, leaf, axes), _leaf_sum(leaf, weights)


def _rows(leaf: Array) -> Array:
    size = math.prod(leaf.shape[1:])  # said, as no examples leave it open
    return leaf.reshape(leaf.shape[0], size).astype(_accumulation_type(leaf))


def _accumulation_type(leaf: Array) -> jnp.dtype:
    return jnp.promote_types(leaf.dtype, jnp.float32)
