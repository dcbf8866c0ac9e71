"""Checks of what the caller hands in: each error names the argument and the remedy."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np


def batch_size(batch: chex.ArrayTree) -> int:
    """Length of the leading axis that all leaves of `batch` share.

    Raises:
        ValueError: there is no leaf, a leaf is a scalar, leaves disagree in length, or it is 0.
    """
    lengths = {
        jax.tree_util.keystr(path) or "batch": (*jnp.shape(leaf), None)[0]
        for path, leaf in jax.tree_util.tree_leaves_with_path(batch)
    }
    if not lengths:
        raise ValueError("batch has no arrays: pass a pytree of arrays [examples, ...]")
    if len(set(lengths.values())) > 1 or None in lengths.values():
        raise ValueError(
            "every leaf of batch needs the same leading axis of examples, got lengths "
            f"{lengths}; pass what all examples share after batch, as `*shared`"
        )
    (length,) = set(lengths.values())
    if length == 0:
        raise ValueError("batch has no examples: its leaves have a leading axis of length 0")
    return length  # type: ignore[return-value]


def check_parameters(params: chex.ArrayTree) -> None:
    """Raise ValueError where a parameter cannot have a gradient."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    if not leaves:
        raise ValueError("params has no arrays: there is nothing to differentiate")
    for path, leaf in leaves:
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise ValueError(
                f"params{jax.tree_util.keystr(path)} has type {jnp.result_type(leaf)}: only "
                "real floating-point parameters have per-example gradients; pass the others "
                "after batch, as `*shared`"
            )


def checked_value_and_grad(loss_fn: Callable[..., Any], has_aux: bool) -> Callable[..., Any]:
    """`jax.value_and_grad(loss_fn)`, with an error that explains a loss that is no scalar.

    Raises:
        ValueError: `loss_fn` does not return one real scalar (or, with `has_aux`, a pair).
    """

    def scalar_loss(params: chex.ArrayTree, example: chex.ArrayTree, *shared: Any) -> Any:
        result = loss_fn(params, example, *shared)
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise ValueError(
                "loss_fn must return a pair (loss, aux) because has_aux=True, got "
                f"{type(result).__name__}; return aux as well, or leave has_aux out"
            )
        _check_loss(result[0] if has_aux else result)
        return result

    return jax.value_and_grad(scalar_loss, has_aux=has_aux)


def _check_loss(value: Any) -> None:
    if isinstance(value, tuple):
        raise ValueError(
            "loss_fn must return a scalar for one example, got a tuple; if it is (loss, aux), "
            "pass has_aux=True"
        )
    if not isinstance(value, int | float | np.ndarray | np.generic | jax.Array):
        raise ValueError(
            f"loss_fn must return a scalar for one example, got {type(value).__name__}"
        )
    if jnp.shape(value) != ():
        raise ValueError(
            f"loss_fn must return a scalar for one example, got shape {jnp.shape(value)}; it is "
            "given one example without a batch axis: reduce its loss with jnp.sum or jnp.mean"
        )
    if not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        raise ValueError(
            f"loss_fn must return a real floating-point scalar, got {jnp.result_type(value)}; "
            "cast it with .astype(jnp.float32)"
        )
