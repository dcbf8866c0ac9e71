"""Factored gradients of one parameter: products that are kept as their factors."""

from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from gujax.gradients.cost import Sizes, chunk_rows, gram_way, norm_way
from gujax.gradients.placement import Placement, lift, place


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Site:
    """One use of a parameter: for each example, Σ_t left_t ⊗ right_t, placed in the parameter.

    Args:
        left: [examples, groups, positions, rows]; or, if `indexed`, int32 row numbers
            [examples, groups, positions] that stand for one-hot vectors.
        right: [examples, groups, positions, columns].
        sizes: groups, positions, rows and columns.
        placement: from [groups, rows, columns] to the parameter's shape.
        indexed: whether `left` holds row numbers.
    """

    left: Array
    right: Array
    sizes: Sizes = field(metadata={"static": True})
    placement: Placement = field(metadata={"static": True})
    indexed: bool = field(metadata={"static": True})

    @property
    def dtype(self) -> jnp.dtype:
        """Type in which products are accumulated: at least float32."""
        return jnp.promote_types(self.right.dtype, jnp.float32)

    def products(self, start: int | Array, size: int) -> Array:
        """Rows [start, start + size) of the products, [examples, groups, size, columns]."""
        if self.indexed:
            return _scatter_rows(self.left - start, self.right.astype(self.dtype), size)
        left = self.left
        if size != self.sizes.rows:
            left = lax.dynamic_slice_in_dim(left, start, size, axis=-1)
        return _einsum("bgtr,bgtc->bgrc", left, self.right, dtype=self.dtype)

    def weighted_product(self, weights: Float[Array, " examples"]) -> Array:
        """Σ_i w_i (product of example i), [groups, rows, columns]: an ordinary weight gradient."""
        right = self.right.astype(self.dtype) * weights.astype(self.dtype)[:, None, None, None]
        if self.indexed:
            rows = jnp.moveaxis(self.left, 0, 1).reshape(1, self.sizes.groups, -1)
            right = jnp.moveaxis(right, 0, 1).reshape(1, self.sizes.groups, -1, right.shape[-1])
            return _scatter_rows(rows, right, self.sizes.rows)[0]
        return _einsum("bgtr,bgtc->grc", self.left, right, dtype=self.dtype)


def _einsum(spec: str, left: Array, right: Array, dtype: jnp.dtype) -> Array:
    return jnp.einsum(spec, left, right, preferred_element_type=dtype)


def _scatter_rows(rows: Array, values: Array, length: int) -> Array:
    """[b, g, length, c] with values[b, g, t] added at rows[b, g, t]; rows out of range dropped."""

    def one(rows: Array, values: Array) -> Array:
        rows = jnp.where(rows < 0, length, rows)  # negative numbers would count from the end
        return jnp.zeros((length, values.shape[-1]), values.dtype).at[rows].add(values, mode="drop")

    return jax.vmap(jax.vmap(one))(rows, values)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FactoredLeaf:
    """Gradients of one parameter for every example of a batch, as a sum of sites.

    Args:
        sites: the uses of the parameter; a tied parameter has several.
        shape: shape of the parameter.
        dtype: type of the parameter.
    """

    sites: tuple[Site, ...]
    shape: tuple[int, ...] = field(metadata={"static": True})
    dtype: jnp.dtype = field(metadata={"static": True})

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return self.sites[0].right.shape[0]

    def materialize(self) -> Array:
        """Dense gradients [examples, *shape], of the parameter's type."""
        total = sum(
            place(lift(site.placement, self.num_examples), site.products(0, site.sizes.rows))
            for site in self.sites
        )
        return total.astype(self.dtype)  # type: ignore[union-attr]

    def weighted_sum(self, weights: Float[Array, " examples"]) -> Array:
        """Σ_i w_i g_i, of the parameter's shape and type."""
        total = sum(place(site.placement, site.weighted_product(weights)) for site in self.sites)
        return total.astype(self.dtype)  # type: ignore[union-attr]

    def gram(self, other: "FactoredLeaf") -> Float[Array, "examples others"]:
        """Inner products of this leaf's gradients with those of `other`, a leaf like this one."""
        way = gram_way(self._sizes, self.num_examples, other.num_examples)
        if self._aligned and way == "inner":
            if other is not self:
                return sum(_inner(a, b) for a in self.sites for b in other.sites)  # type: ignore
            total = sum(_inner(site, site) for site in self.sites)
            for i, a in enumerate(self.sites):
                for b in self.sites[:i]:
                    cross = _inner(a, b)
                    total = total + cross + cross.T
            return total  # type: ignore[return-value]

        def block(start: int | Array, size: int) -> Array:
            mine = self._rows(start, size)
            theirs = mine if other is self else other._rows(start, size)
            return mine @ theirs.T

        return self._over_rows(block, max(self.num_examples, other.num_examples))

    def squared_norms(self) -> Float[Array, " examples"]:
        """Squared norm of every example's gradient."""
        if self._aligned and norm_way(self._sizes) == "inner":
            alone = jax.vmap(lambda leaf: leaf.gram(leaf)[0, 0])
            return alone(jax.tree.map(lambda x: x[:, None], self))

        def block(start: int | Array, size: int) -> Array:
            return jnp.sum(jnp.square(self._rows(start, size)), axis=1)

        return self._over_rows(block, self.num_examples)

    @property
    def _sizes(self) -> list[Sizes]:
        return [site.sizes for site in self.sites]

    @property
    def _aligned(self) -> bool:
        """Whether all sites place products of equal shape in the same way."""
        first = self.sites[0]
        return all(
            site.placement == first.placement and site.sizes.product == first.sizes.product
            for site in self.sites
        )

    def _rows(self, start: int | Array, size: int) -> Array:
        """Dense gradients restricted to some rows of the products, [examples, elements]."""
        if not self._aligned:
            return self.materialize().reshape(self.num_examples, -1)
        total = sum(site.products(start, size) for site in self.sites)
        return total.reshape(self.num_examples, -1)  # type: ignore[union-attr]

    def _over_rows(self, block: Callable[[int | Array, int], Array], examples: int) -> Array:
        """Sum of `block` over all rows, a bounded number of rows at a time.

        Each chunk of per-example gradients is formed, used and dropped.
        """
        sizes = self.sites[0].sizes
        size = chunk_rows(sizes, examples)
        if not self._aligned or size == sizes.rows:
            return block(0, sizes.rows)
        whole, rest = divmod(sizes.rows, size)

        def step(total: Array, start: Array) -> tuple[Array, None]:
            return total + block(start, size), None

        shape = jax.eval_shape(lambda: block(0, size))
        starts = jnp.arange(whole) * size
        total, _ = lax.scan(step, jnp.zeros(shape.shape, shape.dtype), starts)
        return total + block(whole * size, rest) if rest else total


def _inner(a: Site, b: Site) -> Float[Array, "examples others"]:
    """Inner products of two sites' gradients, from inner products of their positions.

    ⟨Σ_t l_t ⊗ r_t, Σ_s m_s ⊗ q_s⟩ = Σ_ts ⟨l_t, m_s⟩ ⟨r_t, q_s⟩.
    """
    rights = _pairs(a.right, b.right, a.dtype)
    if a.indexed and b.indexed:
        rows, others = _flat(a.left), _flat(b.left)
        lefts = (rows[:, :, None] == others[:, None, :]).astype(rights.dtype)
    elif a.indexed:
        lefts = _lookup(a.left, b.left)
    elif b.indexed:
        lefts = jnp.swapaxes(_lookup(b.left, a.left), 1, 2)
    else:
        lefts = _pairs(a.left, b.left, a.dtype)
    summed = jnp.sum((lefts * rights), axis=0)  # over groups
    shape = (a.right.shape[0], a.sizes.positions, b.right.shape[0], b.sizes.positions)
    return summed.reshape(shape).sum(axis=(1, 3)) if max(shape[1], shape[3]) > 1 else summed


def _flat(x: Array) -> Array:
    """[examples, groups, positions, ...] -> [groups, examples * positions, ...]."""
    x = jnp.moveaxis(x, 1, 0)
    return x.reshape(x.shape[0], x.shape[1] * x.shape[2], *x.shape[3:])


def _pairs(a: Array, b: Array, dtype: jnp.dtype) -> Array:
    """All inner products [groups, examples * positions, others * positions]."""
    return _einsum("gid,gjd->gij", _flat(a), _flat(b), dtype=dtype)


def _lookup(rows: Array, dense: Array) -> Array:
    """Inner products of one-hot vectors with dense ones: entries of the latter."""
    return jax.vmap(lambda index, table: table[:, index].T)(_flat(rows), _flat(dense))
