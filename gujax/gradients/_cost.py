"""Which of two exact ways is cheaper, and how much of it to do at a time: from shapes alone.

The Gram matrix of products Σ_t left_t ⊗ right_t can be had by *inner* products of all pairs of
positions, ⟨left_t, left_s⟩ ⟨right_t, right_s⟩, or by multiplying each product *out* and taking
inner products of the results. The first never forms a per-example gradient and wins when positions
are few; the second wins when they are many. Both give the same number.

The cheaper one is that of less time: operations, and what is formed on the way, all pairs or all
products, which goes to memory and comes back.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

Way = Literal["inner", "outer"]

# Working memory in bytes where the caller sets no limit: large enough for efficient matrix
# products, small enough that what is formed is still in the processor's cache when it is used.
WORKING_MEMORY = 2**23

# Bytes of factors that do not stay in a processor's cache: copying what they repeat is then slower
# than the operation that JAX itself forms the gradients with (measured on convolutions).
LARGE_FACTORS = 2**24

# Operations that take as long as a byte that is written and read again. On a CPU both ways were
# timed on products of 8 to 32 examples, 8 to 128 positions and 128 to 1536 columns; it is also what
# data sheets of accelerators say of float32.
FLOPS_PER_BYTE = 27


class Sizes(NamedTuple):
    """Sizes of one site, per example; `indexed` if its rows are told by a number, not a vector."""

    groups: int
    positions: int
    rows: int
    columns: int
    indexed: bool = False

    @property
    def product(self) -> tuple[int, int, int]:
        """Shape of the product."""
        return (self.groups, self.rows, self.columns)

    @property
    def elements(self) -> int:
        """Elements of the product."""
        return self.groups * self.rows * self.columns


class Options(NamedTuple):
    """What the caller may say about the computation of Gram matrices and norms.

    Args:
        way: "inner" or "outer" where both are possible; None for the cheaper one.
        memory_limit: bytes that the computation for one parameter may take beside its factors;
            None for 8 MiB, or more where less would cost time.
    """

    way: Way | None = None
    memory_limit: int | None = None


DEFAULT_OPTIONS = Options()


def checked_options(way: Way | None, memory_limit: int | None) -> Options:
    """Raise ValueError for what the caller cannot mean."""
    if way not in (None, "inner", "outer"):
        raise ValueError(f"gram_way must be 'inner', 'outer' or None, got {way!r}")
    if memory_limit is not None and memory_limit < 1:
        raise ValueError(f"memory_limit must be a positive number of bytes, got {memory_limit}")
    return Options(way, memory_limit)


class Choice(NamedTuple):
    """How the Gram matrix, or the norms, of one parameter are computed.

    Args:
        way: inner or outer.
        block: how much is done at a time: rows of the product where products that are placed
            alike are multiplied out; examples otherwise.
        flops: floating-point operations.
        formed: bytes of all pairs, or of all products, that are written and read again.
        memory: bytes that a block takes.
        least_memory: bytes that the smallest block would take.
    """

    way: Way
    block: int
    flops: int
    formed: int
    memory: int
    least_memory: int

    @property
    def cost(self) -> int:
        """Operations, with those that could have been done while memory was waited for."""
        return self.flops + FLOPS_PER_BYTE * self.formed


def inner_flops(sites: Sequence[Sizes], examples: int, others: int) -> int:
    """Floating-point operations of the Gram matrix by inner products of positions.

    Inner products with what is indexed are looked up.
    """
    return sum(
        2
        * _num_pairs(a, b, examples, others)
        * ((0 if a.indexed or b.indexed else a.rows) + a.columns)
        for a in sites
        for b in sites
    )


def outer_flops(sites: Sequence[Sizes], examples: int, others: int, elements: int) -> int:
    """Floating-point operations of the Gram matrix by multiplying products out.

    The products of `others` are those of `examples` in the usual case and are not counted twice.
    What is compared has so many `elements`.
    """
    return forming_flops(sites, examples) + 2 * examples * others * elements


def forming_flops(sites: Sequence[Sizes], examples: int) -> int:
    """Floating-point operations of multiplying all products out once."""
    return sum(
        2
        * examples
        * site.positions
        * (site.groups * site.columns if site.indexed else site.elements)
        for site in sites
    )


def _num_pairs(a: Sizes, b: Sizes, examples: int, others: int) -> int:
    return examples * others * a.groups * a.positions * b.positions


def choose_gram(
    sites: Sequence[Sizes],
    examples: int,
    others: int,
    *,
    itemsize: int = 4,
    unaligned: int | None = None,
    options: Options = DEFAULT_OPTIONS,
    summed: bool = False,
) -> Choice:
    """How to compute the Gram matrix [examples, others] of one parameter.

    Args:
        sites: sizes of every use of the parameter.
        examples: number of examples.
        others: number of examples that they are compared with.
        itemsize: bytes of a number in the accumulation type.
        unaligned: elements of the parameter, if its sites place their products differently (None
            if all do it in the same way). Then only their dense sum can be compared: the way is
            "outer", whatever was asked for.
        options: the caller's.
        summed: whether a sum of the gradients is wanted as well, whose weights are known. What is
            multiplied out gives it in passing; beside inner products it is work of its own.

    Returns:
        The cheaper way, or the one asked for, in blocks that keep to the limit where possible.
    """
    inner = inner_flops(sites, examples, others)
    outer = outer_flops(sites, examples, others, unaligned or sites[0].elements)
    if unaligned is not None:
        return _unaligned(outer, 2 * itemsize * unaligned, examples, options)
    pair = 2 * itemsize * sites[0].groups * _most_positions(sites) ** 2 * others
    row = itemsize * max(examples, others) * sites[0].groups * sites[0].columns
    pairs = 2 * itemsize * sum(_num_pairs(a, b, examples, others) for a in sites for b in sites)
    if summed:
        inner += forming_flops(sites, examples)
    return _cheaper(
        _Work("inner", inner, pairs, pair, examples),
        _Work("outer", outer, row * sites[0].rows, row, sites[0].rows),
        options,
    )


def choose_norms(
    sites: Sequence[Sizes],
    examples: int,
    *,
    itemsize: int = 4,
    unaligned: int | None = None,
    options: Options = DEFAULT_OPTIONS,
) -> Choice:
    """How to compute the squared norms of one parameter: only pairs within an example.

    Arguments and result are those of `choose_gram`.
    """
    inner = examples * inner_flops(sites, 1, 1)
    outer = examples * outer_flops(sites, 1, 1, unaligned or sites[0].elements)
    if unaligned is not None:
        return _unaligned(outer, itemsize * unaligned, examples, options)
    pair = 2 * itemsize * sites[0].groups * _most_positions(sites) ** 2
    row = itemsize * examples * sites[0].groups * sites[0].columns
    pairs = 2 * itemsize * examples * sum(_num_pairs(a, b, 1, 1) for a in sites for b in sites)
    return _cheaper(
        _Work("inner", inner, pairs, pair, examples),
        _Work("outer", outer, row * sites[0].rows, row, sites[0].rows),
        options,
    )


def kept_elements(sites: Sequence[Sizes]) -> int:
    """Elements of one example's factors."""
    return sum(
        site.groups * site.positions * ((1 if site.indexed else site.rows) + site.columns)
        for site in sites
    )


def form_at_once(
    choice: Choice, sites: Sequence[Sizes], elements: int, options: Options = DEFAULT_OPTIONS
) -> bool:
    """Whether to form the dense per-example gradients, of so many elements each, right away.

    Worth it where the Gram matrix needs them formed anyway: what weighs the gradients then need not
    multiply again. Factors are also the activations of other parameters, so that dropping them
    frees little; gradients of up to twice their size are formed, or of their size under a limit.
    """
    most = (2 if options.memory_limit is None else 1) * kept_elements(sites)
    return choice.way == "outer" and elements <= most


def _most_positions(sites: Sequence[Sizes]) -> int:
    return max(site.positions for site in sites)


class _Work(NamedTuple):
    """One way: its operations, the bytes that it forms, those of a block of one, and how many."""

    way: Way
    flops: int
    formed: int
    unit: int
    total: int


def _unaligned(flops: int, unit: int, examples: int, options: Options) -> Choice:
    """Blocks of examples: they form gradients more than once, so only where they are asked for."""
    limit = examples * unit if options.memory_limit is None else options.memory_limit
    return _in_blocks(_Work("outer", flops, examples * unit, unit, examples), limit)


def _cheaper(inner: _Work, outer: _Work, options: Options) -> Choice:
    """The way asked for, or the cheaper of those that can keep to the limit."""
    limit = WORKING_MEMORY if options.memory_limit is None else options.memory_limit
    choices = [_in_blocks(work, limit) for work in (inner, outer)]
    if options.way is not None:
        return choices[options.way == "outer"]
    if options.memory_limit is not None:
        choices = [choice for choice in choices if choice.least_memory <= limit] or choices
    return min(choices, key=lambda choice: choice.cost)


def _in_blocks(work: _Work, limit: int) -> Choice:
    block = max(1, min(work.total, limit // max(work.unit, 1)))
    return Choice(work.way, block, work.flops, work.formed, block * work.unit, work.unit)
