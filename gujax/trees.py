"""Leaves of gradients and parameters by their names, and the weights that an attack gives them."""

from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

LeafWeights = Callable[[Sequence[str]], Sequence[float]]
"""Maps the paths of all leaves, such as ``"layers/0/kernel"``, to weights; 0 leaves one out."""


def is_factored(node: Any) -> bool:
    """Whether a node, though a pytree, is one leaf here: a parameter's factored gradients."""
    return hasattr(type(node), "opened")


def named_leaves(tree: chex.ArrayTree) -> list[tuple[str, Any]]:
    """Leaves, factored ones whole, each with its path, such as ``"layers/0/kernel"``."""
    leaves = jax.tree.leaves_with_path(tree, is_leaf=is_factored)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves]


def every_leaf(paths: Sequence[str]) -> list[float]:
    """Weight 1 for every leaf."""
    return [1.0] * len(paths)


def only(*prefixes: str) -> LeafWeights:
    """Match nothing but what lies under these prefixes, such as ``"layers/0"``.

    Raises:
        ValueError: when the attack starts, if a prefix is that of no leaf.
    """
    return lambda paths: [float(under) for under in _under(prefixes, paths, "only")]


def without(*prefixes: str) -> LeafWeights:
    """Match everything but what lies under these prefixes.

    The adaptive attack on a stochastic bottleneck leaves out the bottleneck and all later layers
    (Scheliga, Mäder, Seeland 2022, arXiv 2208.04767).

    Raises:
        ValueError: when the attack starts, if a prefix is that of no leaf.
    """
    return lambda paths: [float(not under) for under in _under(prefixes, paths, "without")]


def chosen(leaf_weights: LeafWeights, update: PyTree) -> list[tuple[Any, float]]:
    """The matched leaves, each with its weight.

    Args:
        leaf_weights: weight of each leaf.
        update: a shared gradient, or per-example gradients.

    Returns:
        The leaves of positive weight, factored ones whole.

    Raises:
        ValueError: if weights do not fit the leaves, or all are 0.
    """
    leaves = named_leaves(update)
    paths = [path for path, _ in leaves]
    weights = list(leaf_weights(paths))
    if len(weights) != len(paths) or min(weights, default=0) < 0:
        raise ValueError(
            f"leaf_weights gives {weights} for {len(paths)} leaves; it must give each a number ≥ 0"
        )
    if not any(weights):
        raise ValueError(
            f"leaf_weights matches no leaf of the gradient; it has {', '.join(paths) or 'none'}"
        )
    return [(leaf, weight) for (_, leaf), weight in zip(leaves, weights) if weight]


def weigh(leaf_weights: LeafWeights, update: PyTree) -> list[Array]:
    """The matched leaves, each multiplied by the square root of its weight.

    Squared distances and inner products of the result are the weighted ones of ``update``.

    Args:
        leaf_weights: weight of each leaf.
        update: a shared gradient.

    Returns:
        The leaves of positive weight.

    Raises:
        ValueError: as `chosen`.
    """
    return [
        leaf if weight == 1 else leaf * jnp.asarray(weight**0.5, leaf.dtype)
        for leaf, weight in chosen(leaf_weights, update)
    ]


def _under(prefixes: Sequence[str], paths: Sequence[str], function: str) -> list[bool]:
    """Whether each path lies under one of the prefixes."""
    for prefix in prefixes:
        # A misspelt name would silently make another attack of it.
        if not any(_is_prefix(prefix, path) for path in paths):
            raise ValueError(
                f"leaf_weights={function}({prefix!r}): there is no such leaf in the gradient; it "
                f"has {', '.join(paths)}"
            )
    return [any(_is_prefix(prefix, path) for prefix in prefixes) for path in paths]


def _is_prefix(prefix: str, path: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
