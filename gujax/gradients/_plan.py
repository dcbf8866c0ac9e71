"""From a loss to a plan: how the gradient of each parameter will be had."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax import Array
from jax.extend import core

from gujax.gradients import rules  # noqa: F401  (fills the table of rules)
from gujax.gradients._cost import (
    LARGE_FACTORS,
    Choice,
    Options,
    Sizes,
    choose_gram,
    choose_norms,
    form_at_once,
    kept_elements,
)
from gujax.gradients._factored import FactoredLeaf, Site, aligned
from gujax.gradients._layout import Placement
from gujax.gradients._program import Atom, Program
from gujax.gradients._terms import Factors, Term, UnfactorableError
from gujax.gradients._tracing import batch_size, traced_gradient


@dataclass(frozen=True, eq=False)
class LeafPlan:
    """How the per-example gradients of one parameter are had.

    Args:
        name: path of the parameter in the pytree.
        shape: its shape.
        dtype: its type.
        atom: its gradient in the program.
        terms: the products whose factors are kept; empty for a dense gradient.
        reason: why the gradient is taken dense, or None where it is factored.
        choice: how the Gram matrix of this batch will be computed; None for a dense gradient.
        audit: the same where the mean of the gradients is wanted as well.
        formed: whether the products are multiplied out at once, because that is cheaper for
            everything that follows.
        as_is: whether the program's own dense gradient is taken: there is no other, or the factors
            that would be multiplied out at once are large and repeat what they are built from.
        options: what the caller said about the way.
    """

    name: str
    shape: tuple[int, ...]
    dtype: jnp.dtype
    atom: Atom
    terms: tuple[Term, ...]
    reason: str | None
    choice: Choice | None
    audit: Choice | None
    formed: bool
    as_is: bool
    options: Options

    @property
    def collapsed(self) -> list[tuple[Sizes, Placement]]:
        """Sizes and placement of each site."""
        return [term.collapsed() for term in self.terms]

    def assemble(self, factors: list[Factors]) -> FactoredLeaf | Array:
        """The leaf of the result, from the factors of a batch."""
        sites = []
        for (sizes, placement), (left, right) in zip(self.collapsed, factors, strict=True):
            count = left.shape[0]
            rows = () if sizes.indexed else (sizes.rows,)
            left = left.reshape(count, sizes.groups, sizes.positions, *rows)
            right = right.reshape(count, sizes.groups, sizes.positions, sizes.columns)
            sites.append(Site(left, right, sizes, placement))
        leaf = FactoredLeaf(tuple(sites), self.shape, self.dtype, self.options)
        return leaf.materialize() if self.formed else leaf


@dataclass(frozen=True, eq=False)
class Plan:
    """The gradient program of one example, and what to read from it.

    Args:
        program: the program; its inputs are the leaves of (params, example, *shared).
        values: its outputs that are no gradients: the loss, and auxiliary output.
        leaves: one plan per parameter.
        out_tree: structure of the result, values first.
    """

    program: Program
    values: list[Atom]
    leaves: list[LeafPlan]
    out_tree: Any


def plan_gradients(
    loss_fn: Callable[..., Any],
    has_aux: bool,
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    shared: tuple[Any, ...],
    options: Options,
) -> Plan:
    """Trace the gradient of one example and decide on a way for every parameter.

    Raises:
        ValueError: the loss cannot have per-example gradients (see `traced_gradient`), or
            `options.memory_limit` is too small for a parameter.
    """
    closed, shapes = traced_gradient(loss_fn, has_aux, params, batch, shared)
    return plan_program(closed, shapes, params, batch_size(batch), options)


def plan_program(
    closed: core.ClosedJaxpr, shapes: Any, params: chex.ArrayTree, count: int, options: Options
) -> Plan:
    """Decide on a way for every parameter, given the program of one example's gradient.

    Args:
        closed: the program.
        shapes: its outputs, as a pytree.
        params: the parameters.
        count: number of examples.
        options: the caller's.

    Raises:
        ValueError: `options.memory_limit` is too small for a parameter.
    """
    program = Program(closed)
    paths = jax.tree_util.tree_leaves_with_path(params)
    outputs = program.jaxpr.outvars
    num_values = len(outputs) - len(paths)
    leaves = [
        _plan_leaf(program, atom, jax.tree_util.keystr(path), leaf, count, options)
        for atom, (path, leaf) in zip(outputs[num_values:], paths, strict=True)
    ]
    return Plan(program, outputs[:num_values], leaves, jax.tree.structure(shapes))


def _plan_leaf(
    program: Program, atom: Atom, name: str, leaf: Array, count: int, options: Options
) -> LeafPlan:
    shape, dtype = jnp.shape(leaf), jnp.result_type(leaf)
    choice, audit, formed, as_is = None, None, False, True
    try:
        terms = tuple(term.canonical() for term in program.resolve(atom))
        reason = None if terms else "does not influence the loss"
    except UnfactorableError as error:
        terms, reason = (), str(error)
    if terms:
        sites = [term.collapsed() for term in terms]
        sizes = [size for size, _ in sites]
        setting: Any = {
            "itemsize": jnp.promote_types(dtype, jnp.float32).itemsize,
            "unaligned": None if aligned(sites) else math.prod(shape),
            "options": options,
        }
        choice = choose_gram(sizes, count, count, **setting)
        audit = choose_gram(sizes, count, count, **setting, summed=True)
        formed = form_at_once(choice, sizes, math.prod(shape), options)
        factors = setting["itemsize"] * count * kept_elements(sizes)
        as_is = formed and factors > LARGE_FACTORS and all(term.repeats for term in terms)
        if not formed:
            needed = max(choice.least_memory, choose_norms(sizes, count, **setting).least_memory)
            _check_memory(name, needed, count, options)
    return LeafPlan(name, shape, dtype, atom, terms, reason, choice, audit, formed, as_is, options)


def _check_memory(name: str, needed: int, count: int, options: Options) -> None:
    limit = options.memory_limit
    if limit is not None and needed > limit:
        raise ValueError(
            f"memory_limit={limit:,} bytes is too small for params{name}: the smallest block of "
            f"its Gram matrix or norms, for {count} examples, takes {needed:,} bytes; raise "
            "memory_limit, or pass fewer examples at a time with microbatch_size"
        )
