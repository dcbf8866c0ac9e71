"""Per-example gradients of a batch too large for memory: computed block by block, when asked."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from gujax.gradients._algebra import DeferredGrads, gram, materialize, squared_norms
from gujax.gradients._arguments import BoundLoss, Same
from gujax.gradients._evaluation import Setting, values_and_grads
from gujax.gradients._sealing import Opaque, seal, unchanged, unseal, witness
from gujax.gradients._tracing import batch_size, checked_loss, traced_gradient
from gujax.sharding import varying_like, whole

# Axes of the sealed leaves. Tree code that asks takes them for matrices.
_RANK = 2


class _Source(NamedTuple):
    """Where gradients come from, and how many are computed at a time; hashable."""

    loss: BoundLoss
    setting: Setting
    block_size: int
    surroundings: tuple[Same, ...]  # what the loss refers to: others make it another loss

    def grads(self, params: chex.ArrayTree, examples: Any, arrays: tuple[Any, ...]) -> Any:
        """Per-example gradients of one block."""
        values_and_gradients = values_and_grads(self.loss, self.setting, params, examples, arrays)
        return values_and_gradients[1]


class _Inputs(NamedTuple):
    """The arrays that gradients are computed from."""

    params: chex.ArrayTree
    batch: chex.ArrayTree
    arrays: tuple[Any, ...]

    def blocks(self, size: int) -> chex.ArrayTree:
        """The batch in blocks of so many examples, [blocks, size, ...]."""
        return jax.tree.map(lambda x: _blocked(x, size), self.batch)


class _Kind(NamedTuple):
    """What is static of gradients whose arrays are elsewhere."""

    source: _Source
    structure: Any
    dtypes: tuple[np.dtype, ...]
    axes: tuple[int, ...]  # 1 where the first axis is that of the examples, else 0


@jax.tree_util.register_pytree_node_class
class MicrobatchedGrads(Opaque, DeferredGrads):
    """Stands for the per-example gradients of a batch of which only a block is ever in memory.

    `gujax.gram`, `squared_norms`, `weighted_sum` and `num_examples`, and so every transformation,
    take it in place of gradients and give the same numbers. What is saved in memory is paid in
    time: the Gram matrix of n blocks computes the gradients of about n²/2 blocks.

    As a pytree its leaves are sealed: JAX passes them on, arithmetic on them is refused.
    """

    def __init__(self, source: _Source, inputs: _Inputs):
        arrays, structure = jax.tree.flatten(inputs)
        arrays = [jnp.asarray(x) for x in arrays]
        axes = [n for n, x in zip((0, 1, 0), inputs, strict=True) for _ in jax.tree.leaves(x)]
        self._kind = _Kind(source, structure, tuple(x.dtype for x in arrays), tuple(axes))
        self._arrays: list[Array] | None = arrays
        self._sealed: tuple[Any, ...] = ()

    def tree_flatten(self) -> tuple[tuple[Any, ...], _Kind]:
        """Sealed leaves: a witness, then the inputs; and what is static."""
        if self._arrays is None:
            return self._sealed, self._kind
        sealed = [
            seal(x, axes, _RANK) for x, axes in zip(self._arrays, self._kind.axes, strict=True)
        ]
        return (witness((), _RANK), *sealed), self._kind

    @classmethod
    def tree_unflatten(cls, kind: _Kind, sealed: Sequence[Any]) -> "MicrobatchedGrads":
        """What stands for the gradients again; leaves are looked at only when they are used."""
        grads = object.__new__(cls)
        grads._kind, grads._arrays, grads._sealed = kind, None, tuple(sealed)
        return grads

    @property
    def _inputs(self) -> _Inputs:
        arrays = self._arrays
        if arrays is not None:
            return jax.tree.unflatten(self._kind.structure, arrays)
        right_to_use = unchanged(self._sealed[0], 0, _RANK, zero=False)
        arrays = [
            unseal(x, dtype, axes, _RANK)
            for x, dtype, axes in zip(self._sealed[1:], *self._kind[2:], strict=True)
        ]
        inputs: _Inputs = jax.tree.unflatten(self._kind.structure, arrays)
        poisoned = lambda x: jnp.where(right_to_use, x, jnp.nan).astype(x.dtype)  # noqa: E731
        return inputs._replace(params=jax.tree.map(poisoned, inputs.params))

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return batch_size(self._inputs.batch)

    def gram(self, other: chex.ArrayTree) -> Float[Array, "examples others"]:
        """Gram matrix, one pair of blocks at a time; only one triangle if `other` is `self`."""
        source, inputs = self._kind.source, self._inputs
        if not isinstance(other, MicrobatchedGrads):  # in memory as they are, as a few queries'
            return _gram_with(source, inputs, other)
        if other is self:
            return _own_gram(source, inputs)
        return _cross_gram(source, inputs, other._kind.source, other._inputs)

    def squared_norms(self) -> Float[Array, " examples"]:
        """Squared norms, one block at a time."""
        return _squared_norms(self._kind.source, self._inputs)

    def weighted_sum(self, weights: Float[Array, " examples"]) -> chex.ArrayTree:
        """Σ_i w_i g_i as the gradient of Σ_i w_i loss_i, accumulated over blocks."""
        return _weighted_sum(self._kind.source, self._inputs, weights)

    def materialize(self) -> chex.ArrayTree:
        """Dense gradients of the whole batch: what this class exists to avoid."""
        return _materialize(self._kind.source, self._inputs)


def values_and_microbatched(
    loss: BoundLoss,
    setting: Setting,
    block_size: int,
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    arrays: tuple[Any, ...],
) -> Any:
    """What `value_and_per_example_grads` returns with a `microbatch_size`."""
    source = _Source(loss, setting, block_size, loss.surroundings())
    inputs = _Inputs(*whole((varying_like(params, batch), batch, arrays)))
    return _values(source, inputs), MicrobatchedGrads(source, inputs)


# Compiled once for one source and one shape, whoever asks and how often.


@partial(jax.jit, static_argnums=0)
def _values(source: _Source, inputs: _Inputs) -> Any:
    traced_gradient(source.loss, source.setting.has_aux, *inputs)  # raises where it must
    loss = checked_loss(source.loss, source.setting.has_aux)
    one = lambda example: loss(inputs.params, example, *inputs.arrays)  # noqa: E731
    return lax.map(one, inputs.batch, batch_size=source.block_size)


@partial(jax.jit, static_argnums=0)
def _own_gram(source: _Source, inputs: _Inputs) -> Array:
    full = _tiled_gram(source, inputs, source, inputs, symmetric=True)
    block = jnp.arange(len(full)) // source.block_size
    return jnp.where(block[:, None] <= block[None, :], full, full.T)


@partial(jax.jit, static_argnums=0)
def _gram_with(source: _Source, inputs: _Inputs, other: chex.ArrayTree) -> Array:
    def rows(examples: chex.ArrayTree) -> Array:
        return gram(source.grads(inputs.params, examples, inputs.arrays), other)

    blocks = lax.map(rows, inputs.blocks(source.block_size))
    return blocks.reshape(-1, blocks.shape[-1])[: batch_size(inputs.batch)]


@partial(jax.jit, static_argnums=(0, 2))
def _cross_gram(
    source: _Source, inputs: _Inputs, other_source: _Source, other_inputs: _Inputs
) -> Array:
    return _tiled_gram(source, inputs, other_source, other_inputs, symmetric=False)


def _tiled_gram(
    source: _Source,
    inputs: _Inputs,
    other_source: _Source,
    other_inputs: _Inputs,
    symmetric: bool,
) -> Array:
    """The Gram matrix by pairs of blocks; zero below the diagonal of blocks if symmetric."""

    def row(block: tuple[Array, chex.ArrayTree]) -> Array:
        i, examples = block
        grads = source.grads(inputs.params, examples, inputs.arrays)

        def entry(block: tuple[Array, chex.ArrayTree]) -> Array:
            j, others = block

            def compute() -> Array:
                other_grads = other_source.grads(other_inputs.params, others, other_inputs.arrays)
                return gram(grads, other_grads)

            if not symmetric:
                return compute()
            shape = jax.eval_shape(compute)
            return lax.cond(j >= i, compute, lambda: jnp.zeros_like(shape))

        return lax.map(entry, _numbered(other_inputs.blocks(other_source.block_size)))

    tiles = lax.map(row, _numbered(inputs.blocks(source.block_size)))
    blocks, other_blocks, size, other_size = tiles.shape
    full = jnp.swapaxes(tiles, 1, 2).reshape(blocks * size, other_blocks * other_size)
    return full[: batch_size(inputs.batch), : batch_size(other_inputs.batch)]


@partial(jax.jit, static_argnums=0)
def _squared_norms(source: _Source, inputs: _Inputs) -> Array:
    def one(examples: chex.ArrayTree) -> Array:
        return squared_norms(source.grads(inputs.params, examples, inputs.arrays))

    norms = lax.map(one, inputs.blocks(source.block_size))
    return norms.reshape(-1)[: batch_size(inputs.batch)]


@partial(jax.jit, static_argnums=0)
def _weighted_sum(source: _Source, inputs: _Inputs, weights: Array) -> chex.ArrayTree:
    loss = checked_loss(source.loss, source.setting.has_aux)

    def scalar(*args: Any) -> Any:
        return loss(*args)[0] if source.setting.has_aux else loss(*args)

    def weighted_loss(params: chex.ArrayTree, examples: Any, weights: Array) -> Array:
        losses = jax.vmap(lambda example: scalar(params, example, *inputs.arrays))
        # An example of weight zero contributes exactly nothing, even where its loss is NaN.
        return jnp.sum(jnp.where(weights == 0, 0, weights * losses(examples)))

    def step(total: chex.ArrayTree, block: Any) -> tuple[chex.ArrayTree, None]:
        part = jax.grad(weighted_loss)(inputs.params, *block)
        return jax.tree.map(jnp.add, total, part), None

    padded = _blocked(weights, source.block_size, fill=0)
    start = jax.tree.map(jnp.zeros_like, inputs.params)
    total, _ = lax.scan(step, start, (inputs.blocks(source.block_size), padded))
    return total


@partial(jax.jit, static_argnums=0)
def _materialize(source: _Source, inputs: _Inputs) -> chex.ArrayTree:
    def one(examples: chex.ArrayTree) -> chex.ArrayTree:
        return materialize(source.grads(inputs.params, examples, inputs.arrays))

    dense = lax.map(one, inputs.blocks(source.block_size))
    merge = lambda x: x.reshape(-1, *x.shape[2:])[: batch_size(inputs.batch)]  # noqa: E731
    return jax.tree.map(merge, dense)


def _numbered(blocks: chex.ArrayTree) -> tuple[Array, chex.ArrayTree]:
    return jnp.arange(len(jax.tree.leaves(blocks)[0])), blocks


def _blocked(x: Array, size: int, fill: float | None = None) -> Array:
    """[N, ...] -> [blocks, size, ...], the last block filled up with `fill` or the last entry."""
    x = jnp.asarray(x)
    missing = -len(x) % size
    last = x[-1:] if fill is None else jnp.full_like(x[-1:], fill)
    padding = jnp.broadcast_to(last, (missing, *x.shape[1:]))
    return jnp.concatenate([x, padding]).reshape(-1, size, *x.shape[1:])
