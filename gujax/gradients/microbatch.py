"""Per-example gradients of a batch too large for memory: computed block by block, when asked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from gujax.gradients.algebra import DeferredGrads, gram, materialize, squared_norms
from gujax.gradients.inputs import batch_size


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MicrobatchedGrads(DeferredGrads):
    """Stands for the per-example gradients of a batch of which only a block is ever in memory.

    `gujax.gram`, `squared_norms`, `weighted_sum` and `num_examples`, and so every transformation,
    take it in place of gradients and give the same numbers. What is saved in memory is paid in
    time: the Gram matrix of n blocks computes the gradients of about n²/2 blocks.

    Args:
        params: the parameters.
        batch: the examples.
        shared: what all examples share.
        loss_fn: loss of one example, a scalar.
        grads_fn: gives the per-example gradients of one block.
        block_size: examples per block.
    """

    params: chex.ArrayTree
    batch: chex.ArrayTree
    shared: tuple[Any, ...]
    loss_fn: Callable[..., Any] = field(metadata={"static": True})
    grads_fn: Callable[..., Any] = field(metadata={"static": True})
    block_size: int = field(metadata={"static": True})

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return batch_size(self.batch)

    def gram(self, other: chex.ArrayTree) -> Float[Array, "examples others"]:
        """Gram matrix, one pair of blocks at a time; only one triangle if `other` is `self`."""
        if not isinstance(other, MicrobatchedGrads):  # in memory as they are, as a few queries'
            rows = lax.map(lambda block: gram(self._grads(block), other), self._blocks())
            return rows.reshape(-1, rows.shape[-1])[: self.num_examples]
        symmetric = other is self
        mine, theirs = self._blocks(), other._blocks()

        def row(block: tuple[Array, chex.ArrayTree]) -> Array:
            i, examples = block
            grads = self._grads(examples)

            def entry(block: tuple[Array, chex.ArrayTree]) -> Array:
                j, others = block
                compute = lambda: gram(grads, other._grads(others))  # noqa: E731
                if not symmetric:
                    return compute()
                shape = jax.eval_shape(compute)
                return lax.cond(j >= i, compute, lambda: jnp.zeros_like(shape))

            return lax.map(entry, _numbered(theirs))

        tiles = lax.map(row, _numbered(mine))  # [blocks, other blocks, block, other block]
        full = jnp.swapaxes(tiles, 1, 2).reshape(
            tiles.shape[0] * tiles.shape[2], tiles.shape[1] * tiles.shape[3]
        )[: self.num_examples, : other.num_examples]
        if not symmetric:
            return full
        block = jnp.arange(self.num_examples) // self.block_size
        return jnp.where(block[:, None] <= block[None, :], full, full.T)

    def squared_norms(self) -> Float[Array, " examples"]:
        """Squared norms, one block at a time."""
        norms = lax.map(lambda examples: squared_norms(self._grads(examples)), self._blocks())
        return norms.reshape(-1)[: self.num_examples]

    def weighted_sum(self, weights: Float[Array, " examples"]) -> chex.ArrayTree:
        """Σ_i w_i g_i as the gradient of Σ_i w_i loss_i, accumulated over blocks."""

        def weighted_loss(params: chex.ArrayTree, examples: Any, weights: Array) -> Array:
            losses = jax.vmap(lambda example: self.loss_fn(params, example, *self.shared))
            # An example of weight zero contributes exactly nothing, even where its loss is NaN.
            return jnp.sum(jnp.where(weights == 0, 0, weights * losses(examples)))

        def step(total: chex.ArrayTree, block: Any) -> tuple[chex.ArrayTree, None]:
            part = jax.grad(weighted_loss)(self.params, *block)
            return jax.tree.map(jnp.add, total, part), None

        padded = _blocked(weights, self.block_size, fill=0)
        start = jax.tree.map(jnp.zeros_like, self.params)
        total, _ = lax.scan(step, start, (self._blocks(), padded))
        return total

    def materialize(self) -> chex.ArrayTree:
        """Dense gradients of the whole batch: what this class exists to avoid."""
        dense = lax.map(lambda examples: materialize(self._grads(examples)), self._blocks())
        merge = lambda x: x.reshape(-1, *x.shape[2:])[: self.num_examples]  # noqa: E731
        return jax.tree.map(merge, dense)

    def _blocks(self) -> chex.ArrayTree:
        return jax.tree.map(lambda x: _blocked(x, self.block_size), self.batch)

    def _grads(self, examples: chex.ArrayTree) -> chex.ArrayTree:
        return self.grads_fn(self.params, examples, *self.shared)


def _numbered(blocks: chex.ArrayTree) -> tuple[Array, chex.ArrayTree]:
    return jnp.arange(len(jax.tree.leaves(blocks)[0])), blocks


def _blocked(x: Array, size: int, fill: float | None = None) -> Array:
    """[N, ...] -> [blocks, size, ...], the last block filled up with `fill` or the last entry."""
    x = jnp.asarray(x)
    missing = -len(x) % size
    last = x[-1:] if fill is None else jnp.full_like(x[-1:], fill)
    padding = jnp.broadcast_to(last, (missing, *x.shape[1:]))
    return jnp.concatenate([x, padding]).reshape(-1, size, *x.shape[1:])
