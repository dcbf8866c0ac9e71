"""Random projections of per-example gradients, from their factors."""

import chex
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, PRNGKeyArray

from gujax.gradients.algebra import DeferredGrads, num_examples
from gujax.gradients.factored import FactoredLeaf, Site
from gujax.precision import exact_products
from gujax.sharding import automatic_axes
from gujax.validation import check_positive

Hash = tuple[Int[Array, "..."], Int[Array, "..."]]  # bucket and sign of every coordinate


@automatic_axes
@exact_products
def sketch(grads: chex.ArrayTree, key: PRNGKeyArray, size: int) -> Float[Array, "examples {size}"]:
    """Project every example's gradient at random to `size` numbers.

    Inner products of sketches are unbiased estimates of inner products of gradients, with a
    standard deviation of at most ‖g_i‖ ‖g_j‖ √(8 / size), and of about √(2 / size) where no factor
    is longer than `size`. One key gives one projection, for all batches of one size: sketches of
    different batches of a data set are comparable.

    A product left ⊗ right is projected from its factors, so that it is never formed: A and C are
    count sketches, which add each coordinate with a random sign to a random bucket, and the
    circular convolution of A left and C right is a count sketch of left ⊗ right whose buckets and
    signs are the sums and products of theirs. A dense leaf, or one whose products are smaller than
    the projections of its factors, gets a count sketch itself, which is exact if it has at most
    `size` elements. All parameters are projected, independently, to the same `size` numbers.

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
    keys = jax.random.split(key, len(leaves))
    return sum(_leaf_sketch(leaf, key, size) for leaf, key in zip(leaves, keys, strict=True))  # type: ignore[return-value]


def _leaf_sketch(leaf: Array | FactoredLeaf, key: PRNGKeyArray, size: int) -> Array:
    if isinstance(leaf, FactoredLeaf):
        sizes = leaf.sites[0].sizes
        projected = sum(site.sizes.groups * site.sizes.positions * size for site in leaf.sites)
        if leaf._aligned and projected < sizes.elements:
            return _tensor_sketch(leaf.sites, key, size)
        leaf = leaf.materialize()
    flat = leaf.reshape(leaf.shape[0], -1)
    return _count_sketch(flat, _draw_hash(key, flat.shape[1], size), size)


def _tensor_sketch(sites: tuple[Site, ...], key: PRNGKeyArray, size: int) -> Array:
    """Sketch of Σ left ⊗ right over sites, groups and positions, in [groups, rows, columns]."""
    left_key, right_key = jax.random.split(key)
    sizes = sites[0].sizes
    buckets, signs = _draw_hash(left_key, sizes.groups * sizes.rows, size)
    by_row = (sizes.groups, sizes.rows)
    left_hash = buckets.reshape(by_row), signs.reshape(by_row)
    right_hash = _draw_hash(right_key, sizes.columns, size)

    def spectrum(site: Site) -> Array:
        if site.indexed:
            left = _one_hot_sketch(site.left, left_hash, size).astype(site.dtype)
        else:
            by_group = jax.vmap(_count_sketch, in_axes=(1, 0, None), out_axes=1)
            left = by_group(site.left.astype(site.dtype), left_hash, size)
        right = _count_sketch(site.right.astype(site.dtype), right_hash, size)
        # A product of spectra is a circular convolution; it is summed before the transform back.
        return jnp.einsum("bgtf,bgtf->bf", jnp.fft.rfft(left), jnp.fft.rfft(right))

    return jnp.fft.irfft(sum(map(spectrum, sites)), size)  # type: ignore[arg-type]


def _draw_hash(key: PRNGKeyArray, length: int, size: int) -> Hash:
    """A bucket and a sign for each of `length` coordinates.

    Independent signs alone make inner products unbiased. Of any `size` successive coordinates that
    start at a multiple of `size`, no two share a bucket; others do with probability 1 / size.
    """
    order_key, shift_key, sign_key = jax.random.split(key, 3)
    order = jax.random.permutation(order_key, size)
    shifts = jax.random.randint(shift_key, (-(-length // size), 1), 0, size)
    buckets = ((order + shifts) % size).reshape(-1)[:length]
    return buckets, jax.random.rademacher(sign_key, (length,), jnp.int32)


def _count_sketch(x: Float[Array, "... n"], hashed: Hash, size: int) -> Float[Array, "... {size}"]:
    """Each coordinate added, with its sign, to its bucket."""
    buckets, signs = hashed
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
