"""GNQ of every example among a whole data set, from sketches of the gradients."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, PRNGKeyArray

from gujax.gradients import batch_size as num_examples
from gujax.gradients import gram, per_example_grads, sketch, squared_norms
from gujax.hashing import hashable
from gujax.sharding import take
from gujax.uniqueness._gnq import uniqueness
from gujax.uniqueness._sketched import SketchedUniqueness, sketched_uniqueness
from gujax.validation import check_nonnegative, check_positive

SKETCH_SIZES = (1024, 2048, 4096, 8192)  # tried in turn


def dataset_uniqueness(
    loss_fn: Callable[..., Any],
    params: chex.ArrayTree,
    data: chex.ArrayTree,
    *shared: Any,
    key: PRNGKeyArray,
    microbatch_size: int,
    sketch_size: int | None = None,
    ridge: float = 0.0,
    relative_ridge: float = 0.0,
    callback: Callable[[int, int], None] | None = None,
) -> SketchedUniqueness:
    """GNQ of every example of a data set: S_j is the second moment of all other gradients.

    Every gradient is projected from its factors to k numbers. This takes O(N k^2 + k^3) time and
    N k numbers of host memory, whatever the number of parameters, where the Gram matrix takes
    O(N^3) and N^2. GNQ comes with a relative standard error of about sqrt(2 / k), 4 % for k = 1024,
    and up to about twice that as the effective dimension approaches 0.9 k.

    Without ``sketch_size``, the smallest of 1024, 2048, 4096 and 8192 is used that can stand for
    the ridge; where that is half of N or more, the exact result costs no more and is returned. It
    is also ``uniqueness(gram(per_example_grads(loss_fn, microbatch_size=...)(params, data)),
    ridge)``.

    Runs on the host, block by block: do not call it inside jit.

    Args:
        loss_fn: loss of one example, ``loss_fn(params, example, *shared)``.
        params: the parameters.
        data: the examples, every leaf [N, ...]; numpy arrays stay on the host.
        *shared: what all examples share.
        key: PRNG key of the projection, of which the result is a function.
        microbatch_size: examples whose gradients' factors are in memory at a time.
        sketch_size: k; chosen if None.
        ridge: absolute ridge, in the units of a squared gradient norm.
        relative_ridge: ridge as a fraction of the data set's mean squared gradient norm, added to
            ``ridge``. One of them must be positive: a sketch cannot tell whether a gradient leaves
            the span of the others.
        callback: called after every block with the number of examples sketched so far, and N; it
            starts again where a larger sketch is needed.

    Returns:
        GNQ [N], its standard error [N] (0 where exact), the ridge, and the effective dimension.

    Raises:
        ValueError: a size is not positive, a ridge is negative or both are 0, `data` has no common
            leading axis, or a gradient is not finite.

    Warns:
        UserWarning: no sketch allowed for can stand for the ridge: the result is the GNQ for the
            larger ridge that it states.
    """
    count = num_examples(data)
    check_positive("microbatch_size", microbatch_size)
    check_nonnegative("ridge", ridge)
    check_nonnegative("relative_ridge", relative_ridge)
    if ridge == 0 and relative_ridge == 0:
        raise ValueError(
            "ridge and relative_ridge are both 0: a sketch needs one of them positive, for example "
            "relative_ridge=0.1; for the pseudo-inverse, use gujax.uniqueness on the Gram matrix"
        )
    if sketch_size is not None:
        check_positive("sketch_size", sketch_size)
    loss_fn = hashable(loss_fn)
    for size in SKETCH_SIZES if sketch_size is None else (sketch_size,):
        if sketch_size is None and 2 * size >= count:
            exact, norms = _exact(
                loss_fn, microbatch_size, params, data, shared, ridge, relative_ridge
            )
            _check_norms(norms)
            return exact
        sketches, norms = _sketch_all(
            loss_fn, size, min(microbatch_size, count), params, data, shared, key, callback
        )
        _check_norms(norms)
        # Where all gradients are zero, any ridge will do.
        asked = ridge + relative_ridge * float(np.mean(norms)) or 1.0
        result = sketched_uniqueness(sketches, asked)
        if result.ridge <= 1.01 * asked:
            return result
    warnings.warn(
        f"a sketch of size {size} cannot stand for the ridge {asked:.3g}: the result is the GNQ "
        f"for the ridge {float(result.ridge):.3g}, of effective dimension "
        f"{float(result.effective_dimension):.0f}; pass a larger sketch_size or ridge",
        stacklevel=2,
    )
    return result


def _sketch_all(
    loss_fn: Callable[..., Any],
    size: int,
    block: int,
    params: chex.ArrayTree,
    data: chex.ArrayTree,
    shared: tuple[Any, ...],
    key: PRNGKeyArray,
    callback: Callable[[int, int], None] | None,
) -> tuple[Float[np.ndarray, "examples size"], Float[np.ndarray, " examples"]]:
    """Sketches and squared norms of all gradients, on the host."""
    count = num_examples(data)
    sketches, norms = np.empty((0, size)), np.empty(0)
    for start in range(0, count, block):
        # The last block is filled up with the last example, so that all have the same size.
        rows = np.minimum(np.arange(start, start + block), count - 1)
        examples = take(data, rows)
        found = jax.device_get(_sketch_block(loss_fn, size, params, examples, shared, key))
        if start == 0:
            sketches, norms = (np.empty((count, *x.shape[1:]), x.dtype) for x in found)
        stop = min(start + block, count)
        sketches[start:stop], norms[start:stop] = (x[: stop - start] for x in found)
        if callback is not None:
            callback(stop, count)
    return sketches, norms


@partial(jax.jit, static_argnums=(0, 1))
def _sketch_block(
    loss_fn: Callable[..., Any],
    size: int,
    params: chex.ArrayTree,
    examples: chex.ArrayTree,
    shared: tuple[Any, ...],
    key: PRNGKeyArray,
) -> tuple[Float[Array, "block size"], Float[Array, " block"]]:
    grads = per_example_grads(loss_fn)(params, examples, *shared)
    return sketch(grads, key, size), squared_norms(grads)


@partial(jax.jit, static_argnums=(0, 1))
def _exact(
    loss_fn: Callable[..., Any],
    microbatch_size: int,
    params: chex.ArrayTree,
    data: chex.ArrayTree,
    shared: tuple[Any, ...],
    ridge: float,
    relative_ridge: float,
) -> tuple[SketchedUniqueness, Float[Array, " examples"]]:
    K = gram(per_example_grads(loss_fn, microbatch_size=microbatch_size)(params, data, *shared))
    norms = jnp.diagonal(K)
    total = ridge + relative_ridge * jnp.mean(norms)
    gnq = uniqueness(K, total)
    dimension = jnp.sum(gnq / (1 + gnq))
    return SketchedUniqueness(gnq, jnp.zeros_like(gnq), total, dimension), norms


def _check_norms(squared_norms: ArrayLike) -> None:
    wrong = np.flatnonzero(~np.isfinite(np.asarray(squared_norms)))
    if wrong.size:
        raise ValueError(
            f"data has {wrong.size} examples whose gradient is NaN, or too long for its squared "
            f"norm to be a finite number; the first is example {wrong[0]}: leave them out, repair "
            "the loss or scale it down"
        )
