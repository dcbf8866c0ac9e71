"""Per-example gradients of any JAX loss."""

from collections.abc import Callable
from typing import Any, Literal

import chex
import jax
from jax.extend import core

from gujax.gradients.cost import DEFAULT_OPTIONS, Options, Way, checked_options
from gujax.gradients.inputs import batch_size, check_parameters, checked_loss, traced_gradient
from gujax.gradients.microbatch import MicrobatchedGrads
from gujax.gradients.plan import Plan, plan_program
from gujax.gradients.program import Program
from gujax.gradients.respread import on_any_mesh
from gujax.sharding import varying_like, whole

Method = Literal["factored", "dense"]


def per_example_grads(
    loss_fn: Callable[..., Any],
    has_aux: bool = False,
    method: Method = "factored",
    microbatch_size: int | None = None,
    gram_way: Way | None = None,
    memory_limit: int | None = None,
) -> Callable[..., Any]:
    """Transform a one-example loss into a function giving every example's gradient of a batch.

    Args:
        loss_fn: `loss_fn(params, example, *shared) -> scalar` for ONE example (or `(scalar, aux)`
            with `has_aux`).
        has_aux: whether `loss_fn` returns auxiliary output beside the loss.
        method: "factored" keeps each gradient as the factors of its products and never forms it;
            "dense" is `jax.vmap(jax.grad(loss_fn))`. Both are exact.
        microbatch_size: for a batch whose gradients do not fit into memory: the result is a
            `MicrobatchedGrads`, of which only blocks of this many examples are ever computed at a
            time. The same functions accept it.
        gram_way: how a factored parameter's part of the Gram matrix is computed: "inner" products
            of positions, or products multiplied "outer"; None takes the cheaper one for each. Both
            are exact. A parameter whose uses are laid out differently always takes "outer".
        memory_limit: bytes that computing one parameter's part of the Gram matrix, or of the
            norms, may take beside the factors; it is then done in blocks. None stands for 64 MiB,
            or more where less would cost time. `gujax.explain` shows what is chosen and taken.

    Returns:
        `grads_fn(params, batch, *shared)`, where every leaf of `batch` has a leading axis of
        examples. It returns gradients structured like `params`, each leaf a dense array
        [examples, *param.shape] or a `FactoredLeaf`; with `has_aux`, `(grads, aux)`. Use them
        through `gujax.gram`, `squared_norms`, `weighted_sum` and `materialize`.

    Raises:
        ValueError: `method` or `gram_way` is unknown, `microbatch_size` or `memory_limit` is not
            positive, or the options of factored gradients are given with "dense"; at the call:
            leaves of `batch` disagree in length, a parameter is not floating point, `memory_limit`
            is too small for a parameter, or `loss_fn` does not return a scalar, mixes examples
            (BatchNorm in training mode), has side effects or calls the host.
    """
    inner = value_and_per_example_grads(
        loss_fn, has_aux, method, microbatch_size, gram_way, memory_limit
    )

    def grads_fn(params: chex.ArrayTree, batch: chex.ArrayTree, *shared: Any) -> Any:
        values, grads = inner(params, batch, *shared)
        return (grads, values[1]) if has_aux else grads

    return grads_fn


def value_and_per_example_grads(
    loss_fn: Callable[..., Any],
    has_aux: bool = False,
    method: Method = "factored",
    microbatch_size: int | None = None,
    gram_way: Way | None = None,
    memory_limit: int | None = None,
) -> Callable[..., Any]:
    """Like `per_example_grads`, but returns `(values, grads)`: one loss per example as well.

    With `has_aux` the result is `((values, aux), grads)`, as in `jax.value_and_grad`.
    """
    if method not in ("factored", "dense"):
        raise ValueError(f"method must be 'factored' or 'dense', got {method!r}")
    options = checked_options(gram_way, memory_limit)
    if method == "dense" and options != DEFAULT_OPTIONS:
        raise ValueError(
            "gram_way and memory_limit are for factored gradients: leave them out with "
            "method='dense', or use microbatch_size to take less memory"
        )
    if microbatch_size is not None:
        return _microbatched(loss_fn, has_aux, method, microbatch_size, options)

    @jax.jit
    def compiled(params: chex.ArrayTree, batch: chex.ArrayTree, shared: tuple[Any, ...]) -> Any:
        if method == "dense":
            return _dense(loss_fn, has_aux, params, batch, shared)
        return _factored(loss_fn, has_aux, params, batch, shared, options)

    def value_and_grads_fn(params: chex.ArrayTree, batch: chex.ArrayTree, *shared: Any) -> Any:
        check_parameters(params)
        batch_size(batch)
        return compiled(varying_like(params, batch), batch, shared)

    return value_and_grads_fn


def _microbatched(
    loss_fn: Callable[..., Any],
    has_aux: bool,
    method: Method,
    microbatch_size: int,
    options: Options,
) -> Callable[..., Any]:
    if microbatch_size < 1:
        raise ValueError(f"microbatch_size must be at least 1, got {microbatch_size}")
    grads_fn = per_example_grads(loss_fn, has_aux, method, None, *options)
    checked = checked_loss(loss_fn, has_aux)

    def scalar_loss(*args: Any) -> Any:
        return checked(*args)[0] if has_aux else checked(*args)

    def block_grads(*args: Any) -> Any:
        return grads_fn(*args)[0] if has_aux else grads_fn(*args)

    def value_and_grads_fn(params: chex.ArrayTree, batch: chex.ArrayTree, *shared: Any) -> Any:
        check_parameters(params)
        batch_size(batch)
        params, batch, shared = whole((varying_like(params, batch), batch, shared))
        traced_gradient(loss_fn, has_aux, params, batch, shared)  # raises where it must
        values = jax.lax.map(
            lambda example: checked(params, example, *shared), batch, batch_size=microbatch_size
        )
        grads = MicrobatchedGrads(params, batch, shared, scalar_loss, block_grads, microbatch_size)
        return values, grads

    return value_and_grads_fn


def _dense(
    loss_fn: Callable[..., Any],
    has_aux: bool,
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    shared: tuple[Any, ...],
) -> Any:
    closed, shapes = traced_gradient(loss_fn, has_aux, params, batch, shared)

    def run(closed: core.ClosedJaxpr, params: Any, batch: Any, shared: Any) -> Any:
        program = Program(closed)

        def one(example: list[Any]) -> list[Any]:
            arguments = [*jax.tree.leaves(params), *example, *jax.tree.leaves(shared)]
            return program.evaluate(arguments, program.jaxpr.outvars)

        return jax.tree.unflatten(jax.tree.structure(shapes), jax.vmap(one)(jax.tree.leaves(batch)))

    return on_any_mesh(run, closed, params, batch, shared)


def _factored(
    loss_fn: Callable[..., Any],
    has_aux: bool,
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    shared: tuple[Any, ...],
    options: Options,
) -> Any:
    closed, shapes = traced_gradient(loss_fn, has_aux, params, batch, shared)

    def run(closed: core.ClosedJaxpr, params: Any, batch: Any, shared: Any) -> Any:
        return _assembled(
            plan_program(closed, shapes, params, batch_size(batch), options), params, batch, shared
        )

    return on_any_mesh(run, closed, params, batch, shared)


def _assembled(
    plan: Plan, params: chex.ArrayTree, batch: chex.ArrayTree, shared: tuple[Any, ...]
) -> Any:
    """The result, from the factors of all examples."""
    factored = [leaf for leaf in plan.leaves if not leaf.as_is]
    terms = [term for leaf in factored for term in leaf.terms]
    dense = [leaf.atom for leaf in plan.leaves if leaf.as_is]

    def one(example: list[Any]) -> Any:
        arguments = [*jax.tree.leaves(params), *example, *jax.tree.leaves(shared)]
        return plan.program.factors(arguments, [*plan.values, *dense], terms)

    outputs, factors = jax.vmap(one)(jax.tree.leaves(batch))
    values = outputs[: len(plan.values)]
    gradients, pairs = iter(outputs[len(plan.values) :]), iter(factors)
    leaves = [
        next(gradients) if leaf.as_is else leaf.assemble([next(pairs) for _ in leaf.terms])
        for leaf in plan.leaves
    ]
    return jax.tree.unflatten(plan.out_tree, [*values, *leaves])
