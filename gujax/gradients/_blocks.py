"""Gram matrices by groups of parameters, and of whole data sets, block by block."""

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from gujax.gradients._algebra import DeferredGrads, gram, num_examples
from gujax.gradients._cost import Way
from gujax.gradients._per_example import per_example_grads
from gujax.gradients._tracing import batch_size
from gujax.hashing import hashable
from gujax.progress import Progress
from gujax.trees import named_leaves
from gujax.validation import check_count, check_nonnegative

GroupOf = Callable[[str], str]
"""Maps the path of a parameter, such as ``"layers/0/kernel"``, to the name of its group."""

_KEPT = 4 * 2**30


def gram_by_group(
    grads: chex.ArrayTree, other: chex.ArrayTree | None = None, *, group_of: GroupOf | None = None
) -> dict[str, Float[Array, "examples others"]]:
    """Gram matrix of every group of parameters; their sum is `gram`.

    Args:
        grads: per-example gradients, not microbatched.
        other: gradients of other examples of the same loss; default: `grads` itself.
        group_of: the group of each parameter; default: every parameter by itself.

    Returns:
        [B, B'] by name of the group, in the order of the parameters. Units: squared units of the
        gradient.

    Raises:
        ValueError: `grads` is microbatched, so that its leaves cannot be told apart, or `other` has
            another structure.
    """
    if isinstance(grads, DeferredGrads) or isinstance(other, DeferredGrads):
        raise ValueError("grads is microbatched and has no leaves; use gujax.gram_by_blocks")
    num_examples(grads)
    groups = _grouped(grads, group_of)
    others = groups if other is None else _grouped(other, group_of)
    if groups.keys() != others.keys():
        raise ValueError("other has other parameters than grads; both must be of the same loss")
    if other is None:
        return {name: gram(leaves) for name, leaves in groups.items()}
    return {name: gram(leaves, others[name]) for name, leaves in groups.items()}


def gram_by_blocks(
    loss_fn: Callable[..., Any],
    params: chex.ArrayTree,
    parts: Sequence[chex.ArrayTree],
    *shared: Any,
    block_size: int,
    group_of: GroupOf | None = None,
    gram_way: Way | None = None,
    kept_bytes: int = _KEPT,
    directory: Path | None = None,
    callback: Progress | None = None,
) -> dict[str, Float[np.ndarray, "examples examples"]]:
    """Gram matrix of a whole data set, of every group of parameters, exact.

    Gradients of a few blocks are in memory at a time, as their factors. Examples of other shapes,
    such as texts of other lengths, are other parts: nothing is computed on more padding than a part
    has, and one program is compiled for each.

    Runs on the host, block by block: do not call it inside jit.

    Args:
        loss_fn: loss of one example, ``loss_fn(params, example, *shared)``.
        params: the parameters.
        parts: examples, every leaf of a part [n, ...]; shapes differ between parts.
        *shared: what all examples share.
        block_size: examples per block.
        group_of: the group of each parameter, by its path; default: every parameter by itself.
        gram_way: as in `per_example_grads`.
        kept_bytes: blocks whose gradients fit into so many bytes are computed once. Of n others,
            about n² / 2 are.
        directory: where to keep finished pairs of blocks, so that a call that was interrupted goes
            on. They are found again by the same parameters and examples; give every loss and every
            ``group_of`` a directory of its own.
        callback: called after every pair with the pairs that are done, and all.

    Returns:
        K by name of the group, in the order of the parameters, [N, N] float32 on the host; examples
        in the order of the parts.

    Raises:
        ValueError: if a size is not positive, there are no parts, or a gradient is not finite.
    """
    check_count("block_size", block_size)
    check_nonnegative("kept_bytes", kept_bytes)
    if not parts:
        raise ValueError("parts is empty; give at least one")
    sizes = [batch_size(part) for part in parts]
    blocks = [block for part in parts for block in _blocks_of(part, block_size)]
    starts = np.cumsum([0, *(size for size in _block_sizes(sizes, block_size))])
    compute = partial(_grads, hashable(loss_fn), gram_way, params, shared=shared)
    tiles = _Tiles(directory, (params, shared, parts, block_size))
    kept: dict[int, chex.ArrayTree] = {}
    found: dict[str, np.ndarray] = {}
    room, done, total = kept_bytes, 0, len(blocks) * (len(blocks) + 1) // 2
    for i, rows in enumerate(blocks):
        own = kept.get(i)
        for j, columns in enumerate(blocks[: i + 1]):
            tile = tiles.read(i, j)
            if tile is None:
                own = compute(rows) if own is None else own
                other = own if i == j else kept.get(j)
                other = compute(columns) if other is None else other
                tile = jax.device_get(_tile(hashable(group_of), own, other))
                tiles.write(i, j, tile)
            at, to = slice(*starts[i : i + 2]), slice(*starts[j : j + 2])
            for name, values in tile.items():
                inside = values[: at.stop - at.start, : to.stop - to.start]
                if not np.isfinite(inside).all():
                    raise ValueError("loss_fn has gradients that are not finite; look for NaN")
                full = found.setdefault(name, np.zeros((starts[-1],) * 2, np.float32))
                full[at, to], full[to, at] = inside, inside.T
            done += 1
            if callback is not None:
                callback(done, total)
        if own is not None and (size := _bytes(own)) <= room:
            kept[i], room = own, room - size
    return {name: found[name] for name in _grouped(params, group_of)}  # jit sorts names


class _Tiles:
    """Pairs of blocks on disk, each in a file of its own; nothing without a directory."""

    def __init__(self, directory: Path | None, inputs: Any):
        self._stem = None if directory is None else Path(directory) / _digest(inputs)

    def read(self, i: int, j: int) -> dict[str, np.ndarray] | None:
        if self._stem is None or not (path := self._path(i, j)).exists():
            return None
        with np.load(path) as stored:
            return dict(zip(stored["names"].tolist(), stored["values"]))

    def write(self, i: int, j: int, tile: dict[str, np.ndarray]) -> None:
        if self._stem is None:
            return
        path = self._path(i, j)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_suffix(".partial")
        with partial_path.open("wb") as file:
            np.savez(file, names=np.array([*tile]), values=np.stack([*tile.values()]))
        os.replace(partial_path, path)  # a file that is there is whole

    def _path(self, i: int, j: int) -> Path:
        assert self._stem is not None
        return self._stem.with_name(f"{self._stem.name}-{i}-{j}.npz")


@partial(jax.jit, static_argnums=(0, 1))
def _grads(
    loss_fn: Callable[..., Any],
    gram_way: Way | None,
    params: chex.ArrayTree,
    examples: chex.ArrayTree,
    shared: tuple[Any, ...],
) -> chex.ArrayTree:
    return per_example_grads(loss_fn, gram_way=gram_way)(params, examples, *shared)


@partial(jax.jit, static_argnums=0)
def _tile(
    group_of: GroupOf | None, grads: chex.ArrayTree, other: chex.ArrayTree
) -> dict[str, Array]:
    return gram_by_group(grads, other, group_of=group_of)


def _grouped(grads: chex.ArrayTree, group_of: GroupOf | None) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for path, leaf in named_leaves(grads):
        groups.setdefault(path if group_of is None else group_of(path), []).append(leaf)
    return groups


def _blocks_of(part: chex.ArrayTree, block_size: int) -> list[chex.ArrayTree]:
    """Blocks of equal size, the last one filled up with the last example."""
    count = batch_size(part)
    rows = [
        np.minimum(np.arange(start, start + block_size), count - 1)
        for start in range(0, count, block_size)
    ]
    return [jax.tree.map(lambda leaf, at=at: jnp.asarray(leaf)[at], part) for at in rows]


def _block_sizes(sizes: Sequence[int], block_size: int) -> list[int]:
    """How many examples of each block count."""
    return [min(block_size, size - start) for size in sizes for start in range(0, size, block_size)]


def _bytes(grads: chex.ArrayTree) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(grads))


def _digest(inputs: Any) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(inputs):
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:12]
