"""Random projections of per-example gradients, from their factors."""

import chex
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, PRNGKeyArray

from gujax.gradients.algebra import DeferredGrads
from gujax.gradients.factored import FactoredLeaf, Site


def sketch(grads: chex.ArrayTree, key: PRNGKeyArray, size: int) -> Float[Array, "examples {size}"]:
    """Project every example's gradient at random to `size` numbers.

    Inner products of sketches are unbiased estimates of inner products of gradients, with a
    standard deviation of about ‖g_i‖ ‖g_j‖ √(3 / size) at most. The projection is a function of
    `key`, the shapes of the parameters and the loss: batches of one data set that are sketched
    with one key (and one batch size, on which the way of a parameter may depend) are comparable.

    A product left ⊗ right is projected from its factors by TensorSketch, Σ_t (A l_t) * (C r_t),
    where A and C are count sketches (one ±1 per column) and * is the circular convolution, which
    turns the Kronecker product A ⊗ C into one projection to `size` numbers. A dense leaf, or one
    whose products are smaller than their projections, gets a count sketch, which is exact within
    the leaf where it has at most `size` elements.

    There is no allocation of `size` to leaves: all leaves are projected to all coordinates, with
    independent signs, and added. The error is then (Σ_l ‖g_l‖²) √(3 / size), which is what the
    best allocation to separate coordinates would reach if the norms were known in advance.

    Args:
        grads: per-example gradients of one batch from `gujax.per_example_grads`.
        key: PRNG key of the projection.
        size: length of a sketch.

    Returns:
        Sketches [examples, size], in float32 or better; units of the gradient.

    Raises:
        ValueError: `size` is not positive, or `grads` are microbatched.

    Source: TensorSketch is Pham & Pagh, KDD 2013; Kronecker-structured projection of gradients is
    LoGra, arXiv 2405.13954; random projection of gradients TRAK, arXiv 2303.14186.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if isinstance(grads, DeferredGrads):
        raise ValueError(
            "microbatched gradients are never in memory together: sketch those of each block "
            "(per_example_grads without microbatch_size) with the same key"
        )
    leaves = jax.tree.leaves(grads, is_leaf=lambda x: isinstance(x, FactoredLeaf))
    keys = jax.random.split(key, len(leaves))
    return sum(_leaf_sketch(*leaf_and_key, size) for leaf_and_key in zip(leaves, keys, strict=True))  # type: ignore


def _leaf_sketch(leaf: Array | FactoredLeaf, key: PRNGKeyArray, size: int) -> Array:
    if isinstance(leaf, FactoredLeaf):
        sizes = leaf.sites[0].sizes
        positions = sum(site.sizes.positions for site in leaf.sites)
        # Forming a product takes less memory than transforming its factors.
        small = sizes.rows * sizes.columns <= positions * size
        if leaf._aligned and not small:
            return _tensor_sketch(leaf.sites, key, size)
        leaf = leaf.materialize()
    flat = leaf.reshape(leaf.shape[0], -1)
    return _count_sketch(flat, *_hash(key, flat.shape[1:], size), size)


def _tensor_sketch(sites: tuple[Site, ...], key: PRNGKeyArray, size: int) -> Array:
    """Σ over sites, groups and positions; the sum is taken before the transform back."""
    left_key, right_key = jax.random.split(key)
    sizes = sites[0].sizes
    buckets, signs = _hash(left_key, (sizes.groups, sizes.rows), size)
    right_hash = _hash(right_key, (sizes.columns,), size)

    def transformed(site: Site) -> Array:
        if site.indexed:
            inside = (site.left >= 0) & (site.left < sizes.rows)
            group = jnp.arange(sizes.groups)[:, None]
            sign = jnp.where(inside, signs[group, site.left], 0)
            left = jax.nn.one_hot(buckets[group, site.left], size) * sign[..., None]
        else:
            by_group = jax.vmap(_count_sketch, in_axes=(1, 0, 0, None), out_axes=1)
            left = by_group(site.left.astype(site.dtype), buckets, signs, size)
        right = _count_sketch(site.right.astype(site.dtype), *right_hash, size)
        return jnp.einsum("bgtf,bgtf->bf", jnp.fft.rfft(left), jnp.fft.rfft(right))

    return jnp.fft.irfft(sum(map(transformed, sites)), size)  # type: ignore[arg-type]


def _hash(
    key: PRNGKeyArray, shape: tuple[int, ...], size: int
) -> tuple[Int[Array, "..."], Int[Array, "..."]]:
    """Buckets and signs. Buckets are filled evenly: without collision where there is room.

    Signs alone make inner products unbiased, whatever the buckets.
    """
    bucket_key, sign_key = jax.random.split(key)
    buckets = jnp.arange(max(*shape, size)) % size
    keys = jax.random.split(bucket_key, shape[:-1])
    draw = lambda key: jax.random.permutation(key, buckets)[: shape[-1]]  # noqa: E731
    for _ in shape[:-1]:
        draw = jax.vmap(draw)
    return draw(keys), jax.random.rademacher(sign_key, shape, jnp.int32)


def _count_sketch(
    x: Float[Array, "... n"], buckets: Int[Array, "n"], signs: Int[Array, "n"], size: int
) -> Float[Array, "... {size}"]:
    """Each entry added, with its sign, to its bucket."""
    x = jnp.moveaxis(x.astype(jnp.promote_types(x.dtype, jnp.float32)) * signs, -1, 0)
    summed = jnp.zeros((size, *x.shape[1:]), x.dtype).at[buckets].add(x)
    return jnp.moveaxis(summed, 0, -1)
