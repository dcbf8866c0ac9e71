"""From a loss to a plan: how the gradient of each parameter will be had."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax import Array

from gujax.gradients import rules  # noqa: F401  (fills the table of rules)
from gujax.gradients.cost import Sizes, form_at_once
from gujax.gradients.factored import FactoredLeaf, Site
from gujax.gradients.inputs import batch_size, checked_value_and_grad
from gujax.gradients.placement import Placement
from gujax.gradients.program import Atom, Program
from gujax.gradients.terms import Factors, Term, UnfactorableError


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
        formed: whether the products are multiplied out at once, because that is cheaper for
            everything that follows.
    """

    name: str
    shape: tuple[int, ...]
    dtype: jnp.dtype
    atom: Atom
    terms: tuple[Term, ...]
    reason: str | None
    formed: bool

    @property
    def collapsed(self) -> list[tuple[Sizes, Placement]]:
        """Sizes and placement of each site."""
        return [term.collapsed() for term in self.terms]

    def assemble(self, factors: list[Factors]) -> FactoredLeaf | Array:
        """The leaf of the result, from the factors of a batch."""
        sites = []
        for term, (sizes, placement), (left, right) in zip(
            self.terms, self.collapsed, factors, strict=True
        ):
            count = left.shape[0]
            indexed = term.kind == "rows"
            rows = () if indexed else (sizes.rows,)
            left = left.reshape(count, sizes.groups, sizes.positions, *rows)
            right = right.reshape(count, sizes.groups, sizes.positions, sizes.columns)
            sites.append(Site(left, right, sizes, placement, indexed))
        leaf = FactoredLeaf(tuple(sites), self.shape, self.dtype)
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
) -> Plan:
    """Trace the gradient of one example and decide on a way for every parameter."""
    count = batch_size(batch)
    example = jax.tree.map(_without_examples, batch)
    function = checked_value_and_grad(loss_fn, has_aux)
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(params, example, *shared)
    program = Program(closed)
    paths = jax.tree_util.tree_leaves_with_path(params)
    outputs = program.jaxpr.outvars
    num_values = len(outputs) - len(paths)
    leaves = [
        _plan_leaf(program, atom, jax.tree_util.keystr(path), leaf, count)
        for atom, (path, leaf) in zip(outputs[num_values:], paths, strict=True)
    ]
    return Plan(program, outputs[:num_values], leaves, jax.tree.structure(shapes))


def _plan_leaf(program: Program, atom: Atom, name: str, leaf: Array, count: int) -> LeafPlan:
    shape, dtype = jnp.shape(leaf), jnp.result_type(leaf)
    try:
        terms = tuple(term.canonical() for term in program.resolve(atom))
        reason = None if terms else "does not influence the loss"
    except UnfactorableError as error:
        terms, reason = (), str(error)
    formed = bool(terms) and form_at_once([term.collapsed()[0] for term in terms], count)
    return LeafPlan(name, shape, dtype, atom, terms, reason, formed)


def _without_examples(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(jnp.shape(leaf)[1:], jnp.result_type(leaf))
