"""Factored gradients of one parameter: products that are kept as their factors."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import PartitionSpec
from jaxtyping import Float

from gujax.gradients._cost import (
    DEFAULT_OPTIONS,
    Options,
    Sizes,
    choose_gram,
    choose_norms,
    kept_elements,
)
from gujax.gradients._layout import Placement, lift, place
from gujax.gradients._sealing import REMEDY, Opaque, seal, unchanged, unseal, witness
from gujax.precision import exact_products
from gujax.sharding import by_element

_ALONE = PartitionSpec()  # spread over no mesh axis
# Positions of examples together for which halves of a matrix product pay: they are copied first.
_FEWEST = 128


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Site:
    """One use of a parameter: for each example, Σ_t left_t ⊗ right_t, placed in the parameter.

    Args:
        left: [examples, groups, positions, rows]; or, if indexed, int32 row numbers
            [examples, groups, positions] that stand for one-hot vectors.
        right: [examples, groups, positions, columns].
        sizes: groups, positions, rows and columns, and whether `left` holds row numbers.
        placement: from [groups, rows, columns] to the parameter's shape.
    """

    left: Array
    right: Array
    sizes: Sizes = field(metadata={"static": True})
    placement: Placement = field(metadata={"static": True})

    @property
    def indexed(self) -> bool:
        """Whether `left` holds row numbers."""
        return self.sizes.indexed

    @property
    def dtype(self) -> jnp.dtype:
        """Type in which products are accumulated: at least float32."""
        return jnp.promote_types(self.right.dtype, jnp.float32)

    def products(self, start: int | Array, size: int) -> Array:
        """Rows [start, start + size) of the products, [examples, groups, size, columns]."""
        if self.indexed:
            zeros = jnp.zeros((*self.right.shape[:2], size, self.right.shape[-1]), self.dtype)
            return _scatter_rows(self.left - start, self.right, zeros)
        left = self.left
        if size != self.sizes.rows:
            left = lax.dynamic_slice_in_dim(left, start, size, axis=-1)
        return _einsum("bgtr,bgtc->bgrc", left, self.right, dtype=self.dtype)

    def weighted_product(
        self, weights: Float[Array, " examples"], onto: Array | None = None
    ) -> Array:
        """Σ_i w_i (product of example i), [groups, rows, columns]: an ordinary weight gradient.

        Args:
            onto: what it is added to, if anything. Rows that are told by a number are added in
                place; nothing of the parameter's size is formed for them.
        """
        left, right = self.left, self.right
        scale = weights.astype(self.dtype)[:, None, None, None]
        if self.indexed:
            if onto is None:
                onto = jnp.zeros(self.sizes.product, self.dtype)
            onto = onto.astype(jnp.promote_types(onto.dtype, self.dtype))
            rows, values = _flat(left), _flat(right.astype(self.dtype) * scale)
            return _scatter_rows(rows[None], values[None], onto[None])[0]
        if self.sizes.rows <= self.sizes.columns:  # fewer numbers, and several sites may share them
            left = left.astype(self.dtype) * scale
        else:
            right = right.astype(self.dtype) * scale
        product = _einsum("bgtr,bgtc->grc", left, right, dtype=self.dtype)
        return product if onto is None else onto + product


def _einsum(spec: str, left: Array, right: Array, dtype: jnp.dtype) -> Array:
    return jnp.einsum(spec, left, right, preferred_element_type=dtype)


def _scatter_rows(rows: Array, values: Array, onto: Array) -> Array:
    """`onto` with values[b, g, t] added at its rows[b, g, t]; rows out of range are dropped."""

    def one(rows: Array, values: Array, onto: Array) -> Array:
        rows = jnp.where(rows < 0, len(onto), rows)  # negative numbers would count from the end
        return onto.at[rows].add(values.astype(onto.dtype), mode="drop")

    return jax.vmap(jax.vmap(one))(rows, values, onto)


class _Kind(NamedTuple):
    """What is static of a leaf: for each site its own, then what is of the parameter."""

    sites: tuple[tuple[Sizes, Placement, np.dtype, np.dtype], ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    options: Options

    @property
    def rank(self) -> int:
        """Axes of dense gradients, and of sealed leaves: tree code may look at their number."""
        return 1 + len(self.shape)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OpenLeaf:
    """A factored leaf on its way into or out of a program of ours: as a pytree it has its factors.

    What is sealed has no derivative; this has.
    """

    sites: tuple[Site, ...]
    shape: tuple[int, ...] = field(metadata={"static": True})
    dtype: np.dtype = field(metadata={"static": True})
    options: Options = field(metadata={"static": True})

    def closed(self) -> "FactoredLeaf":
        """The leaf that users have."""
        return FactoredLeaf(self.sites, self.shape, self.dtype, self.options)


@jax.tree_util.register_pytree_node_class
class FactoredLeaf(Opaque):
    """Gradients of one parameter for every example of a batch, as a sum of sites.

    As a pytree it has sealed leaves, with an axis of examples and as many others as the parameter
    has, but of length 1: JAX passes them on, arithmetic on them is refused.

    Args:
        sites: the uses of the parameter; a tied parameter has several.
        shape: shape of the parameter.
        dtype: type of the parameter.
        options: what the caller said about the way to Gram matrices and norms.
    """

    def __init__(
        self,
        sites: tuple[Site, ...],
        shape: tuple[int, ...],
        dtype: np.dtype,
        options: Options = DEFAULT_OPTIONS,
    ):
        static = tuple(
            (site.sizes, site.placement, site.left.dtype, site.right.dtype) for site in sites
        )
        self._kind = _Kind(static, shape, dtype, options)
        self._sites: tuple[Site, ...] | None = sites
        self._sealed: tuple[Any, ...] = ()

    def tree_flatten(self) -> tuple[tuple[Any, ...], _Kind]:
        """Sealed leaves: a witness, then two per site; and what is static."""
        if self._sites is None:
            return self._sealed, self._kind
        rank = self._kind.rank
        factors = (x for site in self._sites for x in (site.left, site.right))
        sealed = witness((self.num_examples,), rank), *(seal(x, 1, rank) for x in factors)
        return sealed, self._kind

    @classmethod
    def tree_unflatten(cls, kind: _Kind, sealed: Sequence[Any]) -> "FactoredLeaf":
        """The leaf of sealed leaves: whatever JAX puts there is looked at only when it is used."""
        leaf = object.__new__(cls)
        leaf._kind, leaf._sites, leaf._sealed = kind, None, tuple(sealed)
        return leaf

    def opened(self) -> OpenLeaf:
        """The leaf with its factors in sight of JAX."""
        return OpenLeaf(self.sites, self.shape, self.dtype, self.options)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The uses of the parameter.

        Raises:
            TypeError: the sealed leaves are no longer those of this parameter.
        """
        # What was opened is not kept: it may belong to a trace that this leaf outlives.
        if self._sites is not None:
            return self._sites
        rank = self._kind.rank
        right_to_use = unchanged(self._sealed[0], 1, rank, zero=True)[:, None, None, None]
        sites = []
        pairs = zip(self._sealed[1::2], self._sealed[2::2], strict=True)
        for static, (left, right) in zip(self._kind.sites, pairs, strict=True):
            sizes, placement, left_type, right_type = static
            left, right = unseal(left, left_type, 1, rank), unseal(right, right_type, 1, rank)
            right = jnp.where(right_to_use, right, jnp.nan).astype(right.dtype)
            sites.append(Site(left, right, sizes, placement))
        return tuple(sites)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the parameter."""
        return self._kind.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the parameter."""
        return self._kind.dtype

    @property
    def options(self) -> Options:
        """What the caller said about the way to Gram matrices and norms."""
        return self._kind.options

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        if self._sites is not None:
            return self._sites[0].right.shape[0]
        lengths: tuple[int, ...] = getattr(self._sealed[0], "shape", ())
        if len(lengths) != self._kind.rank:
            raise TypeError(f"per-example gradients were replaced or reshaped: {REMEDY}")
        return lengths[0]

    @property
    def num_kept(self) -> int:
        """Numbers that the factors hold, of all examples."""
        return self.num_examples * kept_elements(self._sizes)

    def materialize(self) -> Array:
        """Dense gradients [examples, *shape], of the parameter's type."""
        return self._dense().astype(self.dtype)

    def weighted_sum(self, weights: Float[Array, " examples"]) -> Array:
        """Σ_i w_i g_i, of the parameter's shape and type."""
        if not self._aligned:
            parts = (place(s.placement, s.weighted_product(weights)) for s in self.sites)
            return sum(parts).astype(self.dtype)  # type: ignore[union-attr]
        product = None
        for site in sorted(self.sites, key=lambda site: site.indexed):
            product = site.weighted_product(weights, product)
        return place(self.sites[0].placement, product).astype(self.dtype)  # type: ignore[arg-type]

    def gram(
        self, other: "FactoredLeaf", axes: PartitionSpec = _ALONE
    ) -> Float[Array, "examples others"]:
        """Inner products of this leaf's gradients with those of `other`, a leaf like this one.

        Args:
            axes: automatic mesh axes over which the examples of both are spread.
        """
        if self._sites is None or other._sites is None:
            mine = self._of(self.sites)
            return mine.gram(mine if other is self else other._of(other.sites), axes)
        examples, others = self.num_examples, other.num_examples
        choice = choose_gram(self._sizes, examples, others, **self._setting)
        if choice.way == "inner":
            return _over_examples(lambda mine: mine._inner_gram(other), self, choice.block)
        if self._aligned:

            def product_of_rows(start: int | Array, size: int) -> tuple[Array, None]:
                mine = by_element(self._rows(start, size), axes)
                theirs = mine if other is self else by_element(other._rows(start, size), axes)
                return mine @ theirs.T, None

            return self._over_rows(product_of_rows, choice.block)[0]

        def product_with_all(mine: "FactoredLeaf") -> Array:
            rows = lambda some: by_element(some._dense_rows(), axes)  # noqa: E731
            dense = rows(mine)
            product = lambda some: (dense if some is mine else rows(some)) @ dense.T  # noqa: E731
            return _over_examples(product, other, choice.block).T

        return _over_examples(product_with_all, self, choice.block)

    def gram_and_sum(
        self, weights: Float[Array, " examples"], axes: PartitionSpec = _ALONE
    ) -> tuple[Array, Array]:
        """`gram` of these gradients and `weighted_sum`, from products that are formed once.

        For weights that do not depend on the Gram matrix: of what is formed, a block is then in
        memory at a time.
        """
        if self._sites is None:
            return self._of(self.sites).gram_and_sum(weights, axes)
        choice = choose_gram(
            self._sizes, self.num_examples, self.num_examples, summed=True, **self._setting
        )
        if choice.way == "inner" or not self._aligned:
            return exact_products(self.gram)(self, axes), self.weighted_sum(weights)

        def both_of_rows(start: int | Array, size: int) -> tuple[Array, Array]:
            rows = by_element(self._rows(start, size), axes)
            summed = weights.astype(rows.dtype) @ rows
            return rows @ rows.T, summed.reshape(self._sizes[0].groups, size, -1)

        gram, total = exact_products(self._over_rows)(both_of_rows, choice.block)
        return gram, place(self.sites[0].placement, total).astype(self.dtype)

    def squared_norms(self) -> Float[Array, " examples"]:
        """Squared norm of every example's gradient."""
        if self._sites is None:
            return self._of(self.sites).squared_norms()
        choice = choose_norms(self._sizes, self.num_examples, **self._setting)
        if choice.way == "outer" and self._aligned:
            return self._over_rows(
                lambda start, size: (jnp.sum(jnp.square(self._rows(start, size)), axis=1), None),
                choice.block,
            )[0]

        def norms(some: "FactoredLeaf") -> Array:
            if choice.way == "outer":
                return jnp.sum(jnp.square(some._dense_rows()), axis=1)
            return jax.vmap(_inner_norm)(jax.tree.map(lambda x: x[:, None], some.sites))

        return _over_examples(norms, self, choice.block)

    @property
    def _sizes(self) -> list[Sizes]:
        return [sizes for sizes, *_ in self._kind.sites]

    @property
    def _aligned(self) -> bool:
        return aligned([(sizes, placement) for sizes, placement, *_ in self._kind.sites])

    @property
    def _setting(self) -> dict[str, Any]:
        rights = [right for *_, right in self._kind.sites]
        itemsize = max(jnp.promote_types(right, jnp.float32).itemsize for right in rights)
        unaligned = None if self._aligned else math.prod(self.shape)
        return {"itemsize": itemsize, "unaligned": unaligned, "options": self.options}

    def _inner_gram(self, other: "FactoredLeaf") -> Array:
        """Gram matrix by inner products of positions, for sites that are placed alike."""
        if other is self:
            return _own_inner_gram(self.sites)
        return sum(_inner(a, b) for a in self.sites for b in other.sites)  # type: ignore

    def _of(self, sites: tuple[Site, ...]) -> "FactoredLeaf":
        """The same parameter's gradients for other examples."""
        return FactoredLeaf(sites, self.shape, self.dtype, self.options)

    def _dense(self) -> Array:
        total = sum(
            place(lift(site.placement, self.num_examples), site.products(0, site.sizes.rows))
            for site in self.sites
        )
        return total  # type: ignore[return-value]

    def _dense_rows(self) -> Array:
        """Dense gradients [examples, elements], in the accumulation type."""
        return self._dense().reshape(self.num_examples, -1)

    def _rows(self, start: int | Array, size: int) -> Array:
        """Dense gradients restricted to some rows of the products, [examples, elements].

        For sites that are placed alike.
        """
        total = sum(site.products(start, size) for site in self.sites)
        return total.reshape(self.num_examples, -1)  # type: ignore[union-attr]

    def _over_rows(
        self, function: Callable[[int | Array, int], tuple[Array, Array | None]], size: int
    ) -> tuple[Array, Any]:
        """`function` of all rows of the products, so many at a time: the sum, and rows in order.

        Each chunk of per-example gradients is formed, used and dropped.

        Args:
            function: of the first row and the number of rows; gives what is summed over chunks,
                and rows that are put together, [groups, rows, columns], or None.
            size: number of rows at a time.
        """
        rows = self._sizes[0].rows
        if size == rows:
            return function(0, rows)
        whole, rest = divmod(rows, size)

        def step(total: Array, start: Array) -> tuple[Array, Array | None]:
            added, chunk = function(start, size)
            return total + added, chunk

        shape, _ = jax.eval_shape(lambda: function(0, size))
        starts = jnp.arange(whole) * size
        total, chunks = lax.scan(step, jnp.zeros_like(shape), starts)
        if chunks is not None:  # [chunks, groups, size, columns]
            chunks = jnp.moveaxis(chunks, 0, 1)
            chunks = chunks.reshape(chunks.shape[0], whole * size, chunks.shape[-1])
        if not rest:
            return total, chunks
        added, chunk = function(whole * size, rest)
        if chunk is not None and chunks is not None:
            chunk = jnp.concatenate([chunks, chunk], axis=1)
        return total + added, chunk


def aligned(sites: Sequence[tuple[Sizes, Placement]]) -> bool:
    """Whether all sites place products of equal shape in the same way."""
    (first, placement), *others = sites
    return all(sizes.product == first.product and other == placement for sizes, other in others)


def _over_examples(
    function: Callable[[FactoredLeaf], Array], leaf: FactoredLeaf, size: int
) -> Array:
    """`function` of so many examples at a time, concatenated along the first axis."""
    if size >= leaf.num_examples:
        return function(leaf)
    whole = leaf.num_examples // size
    first = lambda x: x[: whole * size].reshape(whole, size, *x.shape[1:])  # noqa: E731
    blocks = jax.tree.map(first, leaf.sites)
    results = lax.map(lambda sites: function(leaf._of(sites)), blocks)
    results = results.reshape(whole * size, *results.shape[2:])
    if whole * size == leaf.num_examples:
        return results
    rest = function(leaf._of(jax.tree.map(lambda x: x[whole * size :], leaf.sites)))
    return jnp.concatenate([results, rest])


def _own_inner_gram(sites: tuple[Site, ...]) -> Array:
    """Inner products of the sum of sites with itself."""
    total = sum(map(_own_inner, sites))
    for i, a in enumerate(sites):
        for b in sites[:i]:
            cross = _inner(a, b)
            total = total + cross + cross.T
    return total  # type: ignore[return-value]


def _own_inner(site: Site, halvings: int = 2) -> Float[Array, "examples examples"]:
    """Inner products of a site's gradients with one another: of what is mirrored, one half."""
    half = site.right.shape[0] // 2
    if not half or not halvings or half * site.sizes.positions < _FEWEST:
        return _inner(site, site)
    first, second = (
        replace(site, left=site.left[some], right=site.right[some])
        for some in (slice(half), slice(half, None))
    )
    corner = _inner(first, second)
    upper = jnp.concatenate([_own_inner(first, halvings - 1), corner], axis=1)
    lower = jnp.concatenate([corner.T, _own_inner(second, halvings - 1)], axis=1)
    return jnp.concatenate([upper, lower])


def _inner_norm(sites: tuple[Site, ...]) -> Array:
    """Squared norm of the only example."""
    return _own_inner_gram(sites)[0, 0]


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
