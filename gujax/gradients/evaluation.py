"""Per-example gradients as compiled programs, each compiled once for one loss."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import chex
import jax
import numpy as np
from jax.extend import core

from gujax.gradients.arguments import BoundLoss
from gujax.gradients.cost import Options
from gujax.gradients.factored import FactoredLeaf, Site
from gujax.gradients.inputs import traced_gradient
from gujax.gradients.plan import plan_gradients

Method = Literal["factored", "dense"]

# Programs that are kept for losses called again. Each keeps its loss alive, and what that holds.
_PROGRAMS = 32


class Setting(NamedTuple):
    """How gradients are computed; see `per_example_grads`."""

    has_aux: bool
    method: Method
    options: Options


def values_and_grads(
    loss: BoundLoss,
    setting: Setting,
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    arrays: tuple[Any, ...],
) -> Any:
    """What `value_and_per_example_grads` returns, of a batch that fits into memory."""
    given = jax.tree.leaves((params, batch, arrays))
    if any(isinstance(leaf, jax.core.Tracer) for leaf in given):  # part of a larger program
        run = _compiled(loss, setting)
    else:
        run = _kept(loss, setting, loss.surroundings())
    values, grads = run(params, batch, arrays)
    closed = lambda leaf: leaf.close() if isinstance(leaf, _OpenLeaf) else leaf  # noqa: E731
    return values, jax.tree.map(closed, grads, is_leaf=lambda leaf: isinstance(leaf, _OpenLeaf))


@lru_cache(_PROGRAMS)
def _kept(loss: BoundLoss, setting: Setting, surroundings: Any) -> Callable[..., Any]:
    del surroundings  # a loss that refers to other objects is another loss
    return _compiled(loss, setting)


def _compiled(loss: BoundLoss, setting: Setting) -> Callable[..., Any]:
    @jax.jit
    def program(params: chex.ArrayTree, batch: chex.ArrayTree, arrays: tuple[Any, ...]) -> Any:
        compute = _dense if setting.method == "dense" else _factored
        return compute(loss, setting, params, batch, arrays)

    return program


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _OpenLeaf:
    """A factored leaf on its way out of a program of ours: as a pytree it has its factors."""

    sites: tuple[Site, ...]
    shape: tuple[int, ...] = field(metadata={"static": True})
    dtype: np.dtype = field(metadata={"static": True})
    options: Options = field(metadata={"static": True})

    def close(self) -> FactoredLeaf:
        return FactoredLeaf(self.sites, self.shape, self.dtype, self.options)


def _opened(leaf: Any) -> Any:
    if isinstance(leaf, FactoredLeaf):
        return _OpenLeaf(leaf.sites, leaf.shape, leaf.dtype, leaf.options)
    return leaf


def _dense(
    loss: BoundLoss,
    setting: Setting,
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    arrays: tuple[Any, ...],
) -> Any:
    closed, shapes = traced_gradient(loss, setting.has_aux, params, batch, arrays)
    run = core.jaxpr_as_fun(closed)

    def one(example: list[Any]) -> list[Any]:
        return run(*jax.tree.leaves(params), *example, *arrays)

    return jax.tree.unflatten(jax.tree.structure(shapes), jax.vmap(one)(jax.tree.leaves(batch)))


def _factored(
    loss: BoundLoss,
    setting: Setting,
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    arrays: tuple[Any, ...],
) -> Any:
    plan = plan_gradients(loss, setting.has_aux, params, batch, arrays, setting.options)
    factored = [leaf for leaf in plan.leaves if not leaf.as_is]
    terms = [term for leaf in factored for term in leaf.terms]
    dense = [leaf.atom for leaf in plan.leaves if leaf.as_is]

    def one(example: list[Any]) -> Any:
        arguments = [*jax.tree.leaves(params), *example, *arrays]
        return plan.program.factors(arguments, [*plan.values, *dense], terms)

    outputs, factors = jax.vmap(one)(jax.tree.leaves(batch))
    values = outputs[: len(plan.values)]
    gradients, pairs = iter(outputs[len(plan.values) :]), iter(factors)
    leaves = [
        next(gradients) if leaf.as_is else _opened(leaf.assemble([next(pairs) for _ in leaf.terms]))
        for leaf in plan.leaves
    ]
    return jax.tree.unflatten(plan.out_tree, [*values, *leaves])
