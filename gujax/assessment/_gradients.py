"""Signals of examples (x, y), and their gradients' Gram matrix or sketches, block by block."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import chex
import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from gujax.assessment._inputs import Apply
from gujax.gradients import gram, per_example_grads, sketch
from gujax.prediction import signal
from gujax.progress import Progress

Examples = tuple[chex.ArrayTree, Int[np.ndarray, " pool"]]


def signals(
    apply: Apply, params: Any, examples: Examples, block: int
) -> tuple[Float[np.ndarray, " pool"], Bool[np.ndarray, " pool"]]:
    """φ of every example, and whether the model is right about it."""
    parts = [_signals_of(apply, params, *part) for part in blocks_of(examples, block)]
    phi, right = (np.concatenate(found)[: len(examples[1])] for found in zip(*parts))
    if wrong := int((~np.isfinite(phi)).sum()):
        raise ValueError(f"apply gives logits that are not finite for {wrong} examples")
    return phi.astype(np.float64), right


def signal_gram(
    apply: Apply, params: Any, examples: Examples, block: int, progress: Progress | None
) -> Float[np.ndarray, "pool pool"]:
    """T = J Jᵀ of the gradients of φ, two blocks of examples in memory at a time."""
    count = _num_blocks(examples, block)
    total = count * (count + 1) // 2
    full = np.empty((count * block,) * 2, np.float32)
    done = 0
    for i, rows in enumerate(blocks_of(examples, block)):
        for j, columns in enumerate(islice(blocks_of(examples, block), i + 1)):
            tile = np.asarray(_gram_of(apply, params, rows, columns))
            at, to = slice(i * block, (i + 1) * block), slice(j * block, (j + 1) * block)
            full[to, at], full[at, to] = tile.T, tile
            done += 1
            if progress is not None:
                progress(done, total)
    return full[: len(examples[1]), : len(examples[1])]


def signal_sketches(
    apply: Apply,
    params: Any,
    examples: Examples,
    block: int,
    size: int,
    seed: int,
    progress: Progress | None,
) -> Float[np.ndarray, "pool size"]:
    """Sketches of the gradients of φ."""
    key, found = jax.random.key(seed), []
    for part in blocks_of(examples, block):
        found.append(np.asarray(_sketches_of(apply, size, params, part, key)))
        if progress is not None:
            progress(len(found), _num_blocks(examples, block))
    return np.concatenate(found)[: len(examples[1])]


def folded(sketches: Float[np.ndarray, "pool size"], size: int) -> Float[np.ndarray, "pool {size}"]:
    """Sketches of fewer numbers, of which ``size`` is a divisor.

    A bucket number modulo a divisor is as random, and sums of bucket numbers modulo the one are
    sums modulo the other.
    """
    if size == sketches.shape[1]:
        return sketches
    return sketches.reshape(len(sketches), -1, size).sum(axis=1)


@partial(jax.jit, static_argnums=0)
def _signals_of(apply: Apply, params: Any, x: chex.ArrayTree, y: Any) -> tuple[Any, Any]:
    logits = apply(params, x)
    return signal(logits, y), logits.argmax(axis=-1) == y


@partial(jax.jit, static_argnums=0)
def _gram_of(apply: Apply, params: Any, rows: Any, columns: Any) -> Any:
    grads = per_example_grads(signal_of_one(apply))
    return gram(grads(params, rows), grads(params, columns))


@partial(jax.jit, static_argnums=(0, 1))
def _sketches_of(apply: Apply, size: int, params: Any, examples: Any, key: Any) -> Any:
    return sketch(per_example_grads(signal_of_one(apply))(params, examples), key, size)


def signal_of_one(apply: Apply) -> Callable[..., Any]:
    """φ of one example (x, y), as a loss is given to `gujax.per_example_grads`."""

    def of_one(params: Any, example: Any) -> Any:
        x, y = example
        return signal(apply(params, jax.tree.map(lambda leaf: leaf[None], x))[0], y)

    return of_one


def blocks_of(examples: Examples, block: int) -> Iterator[tuple[chex.ArrayTree, Any]]:
    """Blocks of equal size, the last one filled up with the last example; one at a time."""
    last = len(examples[1]) - 1
    for start in range(0, last + 1, block):
        rows = np.minimum(np.arange(start, start + block), last)
        yield jax.tree.map(lambda leaf, rows=rows: leaf[rows], examples)


def _num_blocks(examples: Examples, block: int) -> int:
    return -(-len(examples[1]) // block)
