"""Random projections of per-example gradients, from their factors."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, PRNGKeyArray

from gujax.gradients._algebra import DeferredGrads, num_examples
from gujax.gradients._factored import FactoredLeaf, Site
from gujax.gradients._separation import Separated, separate
from gujax.precision import exact_products
from gujax.sharding import automatic_axes
from gujax.validation import check_positive

_SMALL = 64  # elements of neighbouring axes that are hashed as one

Hash = tuple[Int[Array, "..."], Int[Array, "..."]]  # bucket and sign of every coordinate


@automatic_axes
@exact_products
def sketch(grads: chex.ArrayTree, key: PRNGKeyArray, size: int) -> Float[Array, "examples {size}"]:
    """Project every example's gradient at random to `size` numbers.

    Inner products of sketches are unbiased estimates of inner products of gradients, with a
    standard deviation of about ‖g_i‖ ‖g_j‖ √(2 / size) and, for a parameter of two axes, at most
    twice that. One key gives one projection, whatever the batch, its size and the method of its
    gradients: the sketch of a query compares with those of the training data.

    A parameter of at most `size` elements is projected exactly: inner products stay what they are.
    A larger one gets a count sketch, which adds each element with a random sign to a random bucket.
    Its buckets and signs are sums and products of those of positions on each axis, so that a
    product left ⊗ right is projected from its factors, without being formed: with A and C the count
    sketches of what left and right are indexed by, that of left ⊗ right is the circular convolution
    of A left and C right. Where an axis mixes what both are indexed by, or the products are smaller
    than the projections of their factors, the products are formed. All parameters are projected,
    independently, to the same `size` numbers.

    Args:
        grads: per-example gradients of one batch from `gujax.per_example_grads`.
        key: PRNG key of the projection.
        size: length of a sketch.

    Returns:
        Sketches [examples, size], in float32 or better; units of the gradient.

    Raises:
        ValueError: `size` is not positive, or `grads` are microbatched or no per-example gradients.

    Source: TensorSketch, Pham & Pagh, KDD 2013, doi 10.1145/2487575.2487591; for projections of
    gradients from their factors see also LoGra, arXiv 2405.13954.
    """
    check_positive("size", size)
    if isinstance(grads, DeferredGrads):
        raise ValueError(
            "grads are microbatched: sketch the gradients of one block at a time, from "
            "per_example_grads without microbatch_size, all with the same key"
        )
    num_examples(grads)
    leaves = jax.tree.leaves(grads, is_leaf=lambda x: isinstance(x, FactoredLeaf))
    shapes = [leaf.shape if isinstance(leaf, FactoredLeaf) else leaf.shape[1:] for leaf in leaves]
    projections = _draw(key, shapes, size)
    return sum(map(_leaf_sketch, leaves, projections))  # type: ignore[return-value]


def _leaf_sketch(leaf: Array | FactoredLeaf, projection: "_Projection") -> Array:
    shape, size = projection.shape, projection.size
    if isinstance(leaf, FactoredLeaf):
        found = _tensor_sketch(leaf.sites, projection, math.prod(shape))
        if found is not None:
            return found
        leaf = leaf.materialize()
    return _count_sketch(leaf.reshape(leaf.shape[0], -1), projection.of_elements(), size)


class _Projection(NamedTuple):
    """A bucket and a sign for every element of a parameter: sums and products over blocks of axes.

    It is a function of the key, the parameters' shapes and the size alone, so that all sketches
    with one key compare: how the gradient is had, which depends on the batch, decides how it is
    computed and not what.

    Args:
        blocks: neighbouring axes that are taken as one, as ranges of their numbers.
        hashes: of the positions on each block.
        shape: of the parameter.
        size: number of buckets.
    """

    blocks: tuple[range, ...]
    hashes: tuple[Hash, ...]
    shape: tuple[int, ...]
    size: int

    def of_elements(self) -> Hash:
        """Buckets and signs of all elements, flat."""
        buckets, signs = self.hashes[0]
        for more_buckets, more_signs in self.hashes[1:]:
            buckets = (buckets[:, None] + more_buckets[None, :]).reshape(-1) % self.size
            signs = (signs[:, None] * more_signs[None, :]).reshape(-1)
        return buckets, signs

    def of_factors(self, separated: Separated) -> tuple[Hash, Hash] | None:
        """Those of a left factor, [groups, rows], and of a right one, [groups, columns].

        None where a block has axes of both, so that neither knows its position on it.
        """
        hashes = []
        for positions in (separated.left, separated.right):
            shape = next(iter(positions.values()), np.zeros((1, 1))).shape
            buckets, signs = jnp.zeros(shape, jnp.int32), jnp.ones(shape, jnp.int32)
            for block, (block_buckets, block_signs) in zip(self.blocks, self.hashes, strict=True):
                inside = [axis in positions for axis in block]
                if any(inside) and not all(inside):
                    return None
                if all(inside):
                    position = np.zeros(shape, int)
                    for axis in block:
                        position = position * self.shape[axis] + positions[axis]
                    buckets = (buckets + block_buckets[position]) % self.size
                    signs = signs * block_signs[position]
            hashes.append((buckets, signs))
        (left, left_signs), right = hashes
        return (left, left_signs * separated.sign), right


def _blocks(shape: tuple[int, ...], size: int) -> Iterator[range]:
    """One block of all axes if that has no more elements than buckets, and is exact.

    Else one for every axis, but for small neighbours, as a kernel's height and width: the more
    blocks, the larger the error.
    """
    if math.prod(shape) <= size or len(shape) < 2:
        yield range(len(shape))
        return
    start = 0
    for stop in range(1, len(shape) + 1):
        if stop == len(shape) or math.prod(shape[start : stop + 1]) > _SMALL:
            yield range(start, stop)
            start = stop


def _tensor_sketch(sites: tuple[Site, ...], projection: _Projection, elements: int) -> Array | None:
    """Sketch of Σ left ⊗ right over sites, groups and positions, from the factors.

    None where the products are smaller than the projections of their factors, or the projection
    is not one of factors.
    """
    size = projection.size
    projected = sum(site.sizes.groups * site.sizes.positions * size for site in sites)
    if projected >= elements:
        return None
    hashes = []
    for site in sites:
        separated = separate(site.sizes, site.placement)
        found = None if separated is None else projection.of_factors(separated)
        if found is None:
            return None
        hashes.append(found)
    by_group = jax.vmap(_count_sketch, in_axes=(1, 0, None), out_axes=1)

    def spectrum(site: Site, left_hash: Hash, right_hash: Hash) -> Array:
        groups = site.sizes.groups
        left_hash, right_hash = (
            (jnp.broadcast_to(x, (groups, x.shape[1])), jnp.broadcast_to(y, (groups, y.shape[1])))
            for x, y in (left_hash, right_hash)
        )
        if site.indexed:
            left = _one_hot_sketch(site.left, left_hash, size).astype(site.dtype)
        else:
            left = by_group(site.left.astype(site.dtype), left_hash, size)
        right = by_group(site.right.astype(site.dtype), right_hash, size)
        # A product of spectra is a circular convolution; it is summed before the transform back.
        return jnp.einsum("bgtf,bgtf->bf", jnp.fft.rfft(left), jnp.fft.rfft(right))

    spectra = [spectrum(site, *pair) for site, pair in zip(sites, hashes, strict=True)]
    return jnp.fft.irfft(sum(spectra), size)  # type: ignore[arg-type]


def _draw(key: PRNGKeyArray, shapes: Sequence[tuple[int, ...]], size: int) -> list[_Projection]:
    """Projections of all parameters, independent of each other.

    A bucket and a sign for each position on every block of axes. Independent signs alone make inner
    products unbiased. Of any `size` successive positions that start at a multiple of `size`, no two
    share a bucket; others do with probability 1 / size.
    """
    blocks = [tuple(_blocks(shape, size)) for shape in shapes]
    lengths = [
        math.prod(shape[axis] for axis in block)
        for shape, of_leaf in zip(shapes, blocks, strict=True)
        for block in of_leaf
    ]
    rows = [-(-length // size) for length in lengths]
    # A random generator takes long to compile: there is one.
    parts = [len(lengths) * size, *rows, *lengths]
    bits = jax.random.bits(key, (sum(parts),), jnp.uint32)
    orders, *rest = jnp.split(bits, np.cumsum(parts)[:-1])
    # Ranks of random numbers; where two are equal, or a number is beyond the last multiple of
    # `size`, the draw is uneven by a few in 2³².
    orders = jnp.argsort(orders.reshape(-1, size), axis=1)
    hashes = []
    for order, shifts, signs in zip(orders, rest[: len(rows)], rest[len(rows) :], strict=True):
        buckets = (order[None, :] + (shifts % size)[:, None].astype(order.dtype)) % size
        signed = 1 - 2 * (signs & 1).astype(jnp.int32)
        hashes.append((buckets.reshape(-1)[: len(signs)].astype(jnp.int32), signed))
    every = iter(hashes)
    return [
        _Projection(of_leaf, tuple(next(every) for _ in of_leaf), shape, size)
        for shape, of_leaf in zip(shapes, blocks, strict=True)
    ]


def _count_sketch(x: Float[Array, "... n"], hashed: Hash, size: int) -> Float[Array, "... {size}"]:
    """Each coordinate added, with its sign, to its bucket."""
    buckets, signs = hashed
    signs = signs.reshape((1,) * (x.ndim - 1) + signs.shape)
    x = jnp.moveaxis(x.astype(jnp.promote_types(x.dtype, jnp.float32)) * signs, -1, 0)
    summed = jnp.zeros((size, *x.shape[1:]), x.dtype).at[buckets].add(x)
    return jnp.moveaxis(summed, 0, -1)


def _one_hot_sketch(
    rows: Int[Array, "examples groups positions"], hashed: Hash, size: int
) -> Float[Array, "examples groups positions {size}"]:
    """Count sketches of the one-hot vectors that row numbers stand for; none if out of range."""
    buckets, signs = hashed
    group = jnp.arange(buckets.shape[0])[:, None]
    inside = (rows >= 0) & (rows < buckets.shape[1])
    sign = jnp.where(inside, signs[group, rows], 0)
    return jax.nn.one_hot(buckets[group, rows], size) * sign[..., None]
