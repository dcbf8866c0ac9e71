"""Checks of what the caller hands in: each error names the argument and the remedy."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from gujax.gradients._loss_checks import check_no_effects, one_example
from gujax.sharding import explicit_mesh


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
        raise ValueError(
            "batch has no examples: its leaves have a leading axis of length 0; skip the step, or "
            "pad Poisson batches to one size and pass mask= to the transformation"
        )
    return length  # type: ignore[return-value]


def check_parameters(params: chex.ArrayTree) -> None:
    """Raise ValueError where a parameter cannot have a gradient."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    if not leaves:
        raise ValueError("params has no arrays: there is nothing to differentiate")
    for path, leaf in leaves:
        if not hasattr(leaf, "dtype") and not isinstance(leaf, int | float | complex):
            raise ValueError(
                f"params{jax.tree_util.keystr(path)} is no array but of type "
                f"{type(leaf).__name__}: pass arrays alone, and put the rest back inside loss_fn "
                "(Equinox: eqx.partition(model, eqx.is_inexact_array) outside, eqx.combine inside)"
            )
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise ValueError(
                f"params{jax.tree_util.keystr(path)} has type {jnp.result_type(leaf)}: only "
                "real floating-point parameters have per-example gradients; pass the others "
                "after batch, as `*shared`"
            )


def traced_gradient(
    loss_fn: Callable[..., Any],
    has_aux: bool,
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    shared: tuple[Any, ...],
) -> tuple[core.ClosedJaxpr, Any]:
    """The program of `jax.value_and_grad(loss_fn)` for one example of `batch`, and its shapes.

    Raises:
        ValueError: `loss_fn` does not return one real scalar (or, with `has_aux`, a pair), mixes
            examples, has side effects or calls the host.
        TypeError: `loss_fn` fails on one example, as where `params` and `batch` do not match.
    """
    params, shared = jax.tree.map(_unspread, (params, shared))
    example = jax.eval_shape(
        lambda x: jax.tree.map(lambda leaf: leaf[0], x), jax.tree.map(_unspread, batch)
    )
    function = jax.value_and_grad(checked_loss(loss_fn, has_aux), has_aux=has_aux)
    try:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(params, example, *shared)
    except TypeError as error:  # how JAX reports shapes that do not fit
        leaves = jax.tree_util.tree_leaves_with_path(example)
        seen = {jax.tree_util.keystr(path) or "example": leaf.shape for path, leaf in leaves}
        raise TypeError(
            f"loss_fn fails on params and one example of batch, of shapes {seen}: {error}. Check "
            "that params and batch belong together, and that loss_fn takes one example"
        ) from error
    check_no_effects(closed.jaxpr)
    return closed, shapes


def checked_loss(loss_fn: Callable[..., Any], has_aux: bool) -> Callable[..., Any]:
    """`loss_fn`, which raises ValueError where it is not the loss of one example."""

    def scalar_loss(params: chex.ArrayTree, example: chex.ArrayTree, *shared: Any) -> Any:
        with one_example():
            result = loss_fn(params, example, *shared)
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise ValueError(
                "loss_fn must return a pair (loss, aux) because has_aux=True, got "
                f"{type(result).__name__}; return aux as well, or leave has_aux out"
            )
        _check_loss(result[0] if has_aux else result)
        return result

    return scalar_loss


def _unspread(leaf: Any) -> Any:
    """The leaf, or its shape and type alone if that type has explicit mesh axes."""
    return leaf if explicit_mesh(leaf) is None else jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)


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
