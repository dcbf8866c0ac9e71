"""How strongly each layer's gradient depends on the input: what reconstruction feeds on.

Mo et al. 2021, "Quantifying information leakage from gradients", arXiv 2105.13929 (original
information): the Frobenius norm of ∂g_l/∂x. So that layers of different size and scale compare, it
is shown relative to them too,

    ‖∂g_l/∂x‖_F · ‖x‖ / ‖g_l‖,

the relative change of the layer's gradient per relative change of the input (Frobenius form of the
relative condition number; Trefethen & Bau 1997, "Numerical linear algebra", lecture 12).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from gujax.gradients import batch_size
from gujax.hashing import hashable
from gujax.leakage._layers import split_layers

_PROBES_AT_ONCE = 16  # bounds the memory: that many gradients of one example


class Sensitivity(NamedTuple):
    """Sensitivity of one layer's gradient to the input, for each example.

    Attributes:
        norm: ‖∂g_l/∂x‖_F, [examples], in units of the gradient per unit of the input.
        norm_error: its standard error, [examples]; zero where it is exact.
        relative: ‖∂g_l/∂x‖_F ‖x‖ / ‖g_l‖, [examples], without unit: what to compare layers by.
            NaN or infinite where the layer's gradient is zero.
        relative_error: its standard error, [examples].
    """

    norm: Float[Array, " examples"]
    norm_error: Float[Array, " examples"]
    relative: Float[Array, " examples"]
    relative_error: Float[Array, " examples"]


def input_sensitivity(
    loss_fn: Callable[..., Float[Array, ""]],
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    *shared: Any,
    layers: Sequence[str] | None = None,
    is_input: Any = None,
    num_probes: int | None = None,
    key: PRNGKeyArray | None = None,
) -> dict[str, Sensitivity]:
    """Sensitivity of every layer's gradient to each example's input, by Jacobian-vector products.

    Exact: one product per entry of the input. Estimated (Hutchinson 1990): products with random
    signs v, whose squared norm is ‖∂g_l/∂x‖_F² in expectation; the standard error is that of their
    mean, carried over to the norm. No Jacobian is formed. Examples are taken one after another.

    Args:
        loss_fn: `loss_fn(params, example, *shared) -> scalar` for ONE example, twice
            differentiable. A random loss needs its key in `shared`: it then holds its noise fixed.
        params: parameters.
        batch: examples; every leaf has a leading axis.
        *shared: passed on to the loss.
        layers: prefixes of the parameter tree; see `split_layers`.
        is_input: which parts of an example are its input: a boolean, or a tree of them that is a
            prefix of the example's, as ``(True, False)``. All floating-point leaves if None.
        num_probes: of the estimate; at least 2. None, or a number that reaches the number of
            entries of the input, gives the exact value.
        key: PRNG key of the probes; needed for the estimate only.

    Returns:
        For each layer, its sensitivity for every example.

    Raises:
        ValueError: leaves of the batch disagree in length, a prefix matches no parameter,
            ``is_input`` leaves no floating-point input, ``num_probes`` is below 2, or ``key`` is
            missing.
    """
    batch_size(batch)
    chosen = split_layers(params, layers)
    mask = _input_mask(batch, is_input)
    size = sum(
        leaf[0].size for leaf, chosen in zip(jax.tree.leaves(batch), mask, strict=True) if chosen
    )
    if num_probes is not None and num_probes < 2:
        raise ValueError(f"num_probes={num_probes} must be at least 2, or None for the exact value")
    if num_probes is None or num_probes >= size:
        num_probes = None
    elif key is None:
        raise ValueError("key is needed to draw probes: pass jax.random.key(...)")
    key = jax.random.key(0) if key is None else key
    return _sensitivity(
        hashable(loss_fn), tuple(chosen), mask, num_probes, params, batch, shared, key
    )


@partial(jax.jit, static_argnames=("loss_fn", "layers", "mask", "num_probes"))
def _sensitivity(
    loss_fn: Callable[..., Float[Array, ""]],
    layers: tuple[str, ...],
    mask: tuple[bool, ...],
    num_probes: int | None,
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    shared: tuple[Any, ...],
    key: PRNGKeyArray,
) -> dict[str, Sensitivity]:
    structure = jax.tree.structure(batch)

    def squared_norms(gradient: chex.ArrayTree) -> dict[str, Float[Array, ""]]:
        return {
            name: optax.tree.norm(leaves, squared=True)
            for name, leaves in split_layers(gradient, layers).items()
        }

    def one(arguments: tuple[chex.ArrayTree, PRNGKeyArray]) -> dict[str, Sensitivity]:
        example, key = arguments
        leaves = jax.tree.leaves(example)
        x, unravel = ravel_pytree(
            [leaf for leaf, chosen in zip(leaves, mask, strict=True) if chosen]
        )

        def gradient(x: Float[Array, " inputs"]) -> chex.ArrayTree:
            inputs = iter(unravel(x))
            merged = [next(inputs) if c else leaf for leaf, c in zip(leaves, mask, strict=True)]
            return jax.grad(loss_fn)(params, jax.tree.unflatten(structure, merged), *shared)

        at_x, along = jax.linearize(gradient, x)
        if num_probes is None:
            probe, count = partial(jax.nn.one_hot, num_classes=x.size, dtype=x.dtype), x.size
        else:
            probe = partial(_random_signs, key, x)
            count = num_probes
        squares = jax.lax.map(
            lambda number: squared_norms(along(probe(number))),
            jnp.arange(count),
            batch_size=min(count, _PROBES_AT_ONCE),
        )
        scale = {name: jnp.linalg.norm(x) / jnp.sqrt(n) for name, n in squared_norms(at_x).items()}
        return {
            name: _summary(squares[name], scale[name], exact=num_probes is None) for name in layers
        }

    keys = jax.random.split(key, len(jax.tree.leaves(batch)[0]))
    return jax.lax.map(one, (batch, keys))


def _random_signs(key: PRNGKeyArray, x: Array, number: Array) -> Array:
    return jax.random.rademacher(jax.random.fold_in(key, number), x.shape, x.dtype)


def _summary(squares: Float[Array, " probes"], scale: Array, exact: bool) -> Sensitivity:
    """From squared norms along all basis vectors, or along random probes."""
    if exact:
        norm = jnp.sqrt(squares.sum())
        error = jnp.zeros_like(norm)
    else:
        norm = jnp.sqrt(squares.mean())
        of_square = jnp.std(squares, ddof=1) / jnp.sqrt(len(squares))
        error = jnp.where(norm > 0, of_square / (2 * norm), 0)
    return Sensitivity(norm, error, norm * scale, error * scale)


def _input_mask(batch: chex.ArrayTree, is_input: Any) -> tuple[bool, ...]:
    """For each leaf of the batch, whether it is (floating-point) input."""
    leaves = jax.tree.leaves(batch)
    if is_input is None:
        chosen = [True] * len(leaves)
    else:
        chosen = jax.tree.leaves(
            jax.tree.map(lambda c, part: jax.tree.map(lambda _: c, part), is_input, batch)
        )
    mask = tuple(
        bool(c) and jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating)
        for leaf, c in zip(leaves, chosen, strict=True)
    )
    if not any(mask):
        raise ValueError(
            "is_input leaves no floating-point part of the batch to differentiate by; embed "
            "discrete inputs first"
        )
    return mask
