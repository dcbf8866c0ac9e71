"""GNQ of every example among a whole data set, exactly or from sketches."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Float, PRNGKeyArray

from gujax.gradients import gram, per_example_grads, squared_norms
from gujax.gradients.inputs import batch_size as num_examples
from gujax.gradients.sketch import sketch
from gujax.uniqueness.leverage import uniqueness
from gujax.uniqueness.ridge import resolve_ridge
from gujax.uniqueness.sketched import SketchedUniqueness, sketched_uniqueness
from gujax.validation import check_nonnegative, check_positive, is_concrete


def dataset_uniqueness(
    loss_fn: Callable[..., Any],
    params: chex.ArrayTree,
    data: chex.ArrayTree,
    *shared: Any,
    batch_size: int,
    sketch_size: int | None = None,
    key: PRNGKeyArray | None = None,
    ridge: ArrayLike = 0.0,
    relative_ridge: ArrayLike = 0.0,
) -> SketchedUniqueness:
    """GNQ of every example of a data set: S_j is the second moment of all the other gradients.

    Exact, the Gram matrix [N, N] is built block by block and solved: O(N² batch) memory-bounded
    gradients, O(N³) time, N² numbers of memory. Sketched, each gradient is projected to
    `sketch_size` numbers k once: O(N k²) time, N k numbers of memory, and an error that is
    estimated.

    How large a sketch must be depends on the ridge: k well above the effective dimension
    d = Σ_j h_j (twice, for errors of a few per cent). Below it, GNQ for that ridge is not in the
    sketch; its ranking usually is. `effective_dimension` of the result tells.

    Args:
        loss_fn: loss of one example, `loss_fn(params, example, *shared)`.
        params: the parameters.
        data: the examples, every leaf [N, ...].
        *shared: what all examples share.
        batch_size: examples whose gradients are in memory at a time.
        sketch_size: k; None for the exact result.
        key: PRNG key of the projection; required with `sketch_size`, which it is a function of.
        ridge: absolute ridge, in the units of a squared gradient norm.
        relative_ridge: ridge as a fraction of the mean squared gradient norm of the data set.

    Returns:
        GNQ [N], its standard error [N] (zero if exact), the ridge it is for, and the effective
        dimension.

    Raises:
        ValueError: a size is not positive, a ridge is negative, both or (with a sketch) neither
            are positive, or the key is missing.

    Warns:
        UserWarning: the sketch is too small for the ridge; the result is the GNQ for the larger
            ridge that it states.
    """
    check_positive("batch_size", batch_size)
    check_nonnegative("ridge", ridge)
    check_nonnegative("relative_ridge", relative_ridge)
    count = num_examples(data)
    size = min(batch_size, count)
    if sketch_size is None:
        K = _gram(loss_fn, size, params, data, shared)
        gnq = uniqueness(K, ridge, relative_ridge=relative_ridge)
        total = jnp.asarray(resolve_ridge(K, ridge, relative_ridge), K.dtype)
        h = jnp.where(jnp.isinf(gnq), 1, gnq / (1 + gnq))
        return SketchedUniqueness(gnq, jnp.zeros_like(gnq), total, jnp.sum(h))
    check_positive("sketch_size", sketch_size)
    if key is None:
        raise ValueError("key is missing: a sketch is random, pass key=jax.random.key(0) or so")
    if is_concrete(ridge) and is_concrete(relative_ridge) and not (ridge or relative_ridge):
        raise ValueError(
            "ridge and relative_ridge are both 0: a sketch has no more dimensions than its size, "
            "so every GNQ would be that of the sketch; give one of them, or sketch_size=None"
        )
    result, asked = _from_sketches(
        loss_fn, size, sketch_size, params, data, shared, key, ridge, relative_ridge
    )
    if is_concrete(result.ridge) and result.ridge > 1.01 * asked:
        warnings.warn(
            f"sketch_size={sketch_size} is too small for ridge {asked:.3g}, the result is the GNQ "
            f"for ridge {result.ridge:.3g}, with effective dimension "
            f"{result.effective_dimension:.0f}: use a larger sketch",
            stacklevel=2,
        )
    return result


@partial(jax.jit, static_argnums=(0, 1))
def _gram(
    loss_fn: Callable[..., Any], size: int, params: Any, data: Any, shared: tuple[Any, ...]
) -> Float[Array, "examples examples"]:
    return gram(per_example_grads(loss_fn, microbatch_size=size)(params, data, *shared))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _from_sketches(
    loss_fn: Callable[..., Any],
    size: int,
    sketch_size: int,
    params: Any,
    data: Any,
    shared: tuple[Any, ...],
    key: PRNGKeyArray,
    ridge: ArrayLike,
    relative_ridge: ArrayLike,
) -> tuple[SketchedUniqueness, Float[Array, ""]]:
    count = num_examples(data)
    grads_fn = per_example_grads(loss_fn)

    def one(indices: Array) -> tuple[Array, Array]:
        block = jax.tree.map(lambda x: jnp.asarray(x)[indices], data)
        grads = grads_fn(params, block, *shared)
        return sketch(grads, key, sketch_size), squared_norms(grads)

    # The last block is filled up with the last example, so that all have the same size.
    blocks = jnp.minimum(jnp.arange(-(-count // size) * size), count - 1).reshape(-1, size)
    sketches, norms = jax.tree.map(
        lambda x: x.reshape(-1, *x.shape[2:])[:count], lax.map(one, blocks)
    )
    total = jnp.asarray(ridge + relative_ridge * jnp.mean(norms))
    return sketched_uniqueness(sketches, total), total
