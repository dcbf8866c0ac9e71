"""Signals of the pool, and their gradients' Gram matrix or sketches, block by block."""

from collections.abc import Callable
from functools import partial
from typing import Any

import chex
import jax
import numpy as np
from jaxtyping import Bool, Float

from gujax.assessment.inputs import Apply, Pool
from gujax.gradients import gram, per_example_grads, sketch
from gujax.prediction import signal

Progress = Callable[[int, int], None]


def signals(
    apply: Apply, params: Any, pool: Pool, block: int
) -> tuple[Float[np.ndarray, "pool"], Bool[np.ndarray, "pool"]]:
    """φ of every example, and whether the model is right about it."""
    parts = [_signals_of(apply, params, *examples) for examples in _blocks(pool, block)]
    phi, right = (np.concatenate(found)[: len(pool.y)] for found in zip(*parts))
    if wrong := int((~np.isfinite(phi)).sum()):
        raise ValueError(f"apply gives logits that are not finite for {wrong} examples")
    return phi.astype(np.float64), right


def signal_gram(
    apply: Apply, params: Any, pool: Pool, block: int, progress: Progress | None
) -> Float[np.ndarray, "pool pool"]:
    """T = J Jᵀ of the gradients of φ, two blocks of examples in memory at a time."""
    blocks = _blocks(pool, block)
    total = len(blocks) * (len(blocks) + 1) // 2
    full = np.empty((len(blocks) * block,) * 2, np.float32)
    done = 0
    for i, rows in enumerate(blocks):
        for j, columns in enumerate(blocks[: i + 1]):
            tile = np.asarray(_gram_of(apply, params, rows, columns))
            at, to = slice(i * block, (i + 1) * block), slice(j * block, (j + 1) * block)
            full[to, at], full[at, to] = tile.T, tile
            done += 1
            if progress is not None:
                progress(done, total)
    return full[: len(pool.y), : len(pool.y)]


def signal_sketches(
    apply: Apply,
    params: Any,
    pool: Pool,
    block: int,
    size: int,
    seed: int,
    progress: Progress | None,
) -> Float[np.ndarray, "pool size"]:
    """Sketches of the gradients of φ."""
    key, blocks, found = jax.random.key(seed), _blocks(pool, block), []
    for i, examples in enumerate(blocks):
        found.append(np.asarray(_sketches_of(apply, size, params, examples, key)))
        if progress is not None:
            progress(i + 1, len(blocks))
    return np.concatenate(found)[: len(pool.y)]


@partial(jax.jit, static_argnums=0)
def _signals_of(apply: Apply, params: Any, x: chex.ArrayTree, y: Any) -> tuple[Any, Any]:
    logits = apply(params, x)
    return signal(logits, y), logits.argmax(axis=-1) == y


@partial(jax.jit, static_argnums=0)
def _gram_of(apply: Apply, params: Any, rows: Any, columns: Any) -> Any:
    grads = per_example_grads(_signal_of_one(apply))
    return gram(grads(params, rows), grads(params, columns))


@partial(jax.jit, static_argnums=(0, 1))
def _sketches_of(apply: Apply, size: int, params: Any, examples: Any, key: Any) -> Any:
    return sketch(per_example_grads(_signal_of_one(apply))(params, examples), key, size)


def _signal_of_one(apply: Apply) -> Callable[..., Any]:
    def of_one(params: Any, example: Any) -> Any:
        x, y = example
        return signal(apply(params, jax.tree.map(lambda leaf: leaf[None], x))[0], y)

    return of_one


def _blocks(pool: Pool, block: int) -> list[tuple[chex.ArrayTree, Any]]:
    """Blocks of equal size, the last one filled up with the last example."""
    count, parts = len(pool.y), []
    for start in range(0, count, block):
        rows = np.minimum(np.arange(start, start + block), count - 1)
        parts.append((jax.tree.map(lambda leaf, rows=rows: leaf[rows], pool.x), pool.y[rows]))
    return parts
