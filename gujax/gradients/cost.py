"""Which of two exact ways is cheaper: predicted from shapes alone.

The Gram matrix of products Σ_t left_t ⊗ right_t can be had by *inner* products of all pairs of
positions, ⟨left_t, left_s⟩ ⟨right_t, right_s⟩, or by multiplying each product *out* and taking
inner products of the results. The first never forms a per-example gradient and wins when positions
are few; the second wins when they are many. Both give the same number.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

Way = Literal["inner", "outer"]

# Elements of a per-example gradient that are formed at a time. 2^24 float32 are 64 MiB: large
# enough for efficient matrix products, small beside the activations of a model with such leaves.
CHUNK_ELEMENTS = 2**24


class Sizes(NamedTuple):
    """Sizes of one site, per example."""

    groups: int
    positions: int
    rows: int
    columns: int

    @property
    def product(self) -> tuple[int, int, int]:
        """Shape of the product."""
        return (self.groups, self.rows, self.columns)

    @property
    def elements(self) -> int:
        """Elements of the product."""
        return self.groups * self.rows * self.columns


def inner_flops(sites: Sequence[Sizes], examples: int, others: int) -> int:
    """Floating-point operations of the Gram matrix by inner products of positions."""
    return sum(
        2 * examples * others * a.groups * a.positions * b.positions * (a.rows + a.columns)
        for a in sites
        for b in sites
    )


def outer_flops(sites: Sequence[Sizes], examples: int, others: int) -> int:
    """Floating-point operations of the Gram matrix by multiplying products out.

    The products of `others` are those of `examples` in the usual case and are not counted twice.
    """
    forming = sum(2 * examples * site.positions * site.elements for site in sites)
    return forming + 2 * examples * others * sites[0].elements


def gram_way(sites: Sequence[Sizes], examples: int, others: int) -> Way:
    """The cheaper way to the Gram matrix [examples, others] of one parameter."""
    inner = inner_flops(sites, examples, others)
    return "inner" if inner <= outer_flops(sites, examples, others) else "outer"


def gram_flops(sites: Sequence[Sizes], examples: int, others: int) -> int:
    """Floating-point operations of the Gram matrix, the cheaper way."""
    inner = inner_flops(sites, examples, others)
    return min(inner, outer_flops(sites, examples, others))


def norm_way(sites: Sequence[Sizes]) -> Way:
    """The cheaper way to the squared norms of one parameter: only pairs within an example."""
    return "inner" if inner_flops(sites, 1, 1) <= outer_flops(sites, 1, 1) else "outer"


def chunk_rows(site: Sizes, examples: int, max_elements: int = CHUNK_ELEMENTS) -> int:
    """How many rows of the examples' products to form at a time."""
    per_row = examples * site.groups * site.columns
    return max(1, min(site.rows, max_elements // max(per_row, 1)))


def kept_elements(sites: Sequence[Sizes]) -> int:
    """Elements of one example's factors."""
    return sum(site.groups * site.positions * (site.rows + site.columns) for site in sites)


def form_at_once(sites: Sequence[Sizes], examples: int) -> bool:
    """Whether to form a parameter's dense per-example gradients right away.

    Worth it where the Gram matrix needs them formed anyway, and where they take no more memory
    than the factors they replace.
    """
    outer = gram_way(sites, examples, examples) == "outer"
    return outer and sites[0].elements <= kept_elements(sites)
