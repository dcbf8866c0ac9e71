"""Per-example gradients of any JAX loss."""

from collections.abc import Callable
from typing import Any, Literal

import chex
import jax

from gujax.gradients.inputs import batch_size, check_parameters, checked_value_and_grad
from gujax.gradients.microbatch import MicrobatchedGrads
from gujax.gradients.plan import plan_gradients

Method = Literal["factored", "dense"]


def per_example_grads(
    loss_fn: Callable[..., Any],
    has_aux: bool = False,
    method: Method = "factored",
    microbatch_size: int | None = None,
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

    Returns:
        `grads_fn(params, batch, *shared)`, where every leaf of `batch` has a leading axis of
        examples. It returns gradients structured like `params`, each leaf a dense array
        [examples, *param.shape] or a `FactoredLeaf`; with `has_aux`, `(grads, aux)`. Use them
        through `gujax.gram`, `squared_norms`, `weighted_sum` and `materialize`.

    Raises:
        ValueError: `method` is unknown, or `microbatch_size` is not positive; at the call: leaves
            of `batch` disagree in length, a parameter is not floating point, or `loss_fn` does not
            return a scalar.
    """
    inner = value_and_per_example_grads(loss_fn, has_aux, method, microbatch_size)

    def grads_fn(params: chex.ArrayTree, batch: chex.ArrayTree, *shared: Any) -> Any:
        values, grads = inner(params, batch, *shared)
        return (grads, values[1]) if has_aux else grads

    return grads_fn


def value_and_per_example_grads(
    loss_fn: Callable[..., Any],
    has_aux: bool = False,
    method: Method = "factored",
    microbatch_size: int | None = None,
) -> Callable[..., Any]:
    """Like `per_example_grads`, but returns `(values, grads)`: one loss per example as well.

    With `has_aux` the result is `((values, aux), grads)`, as in `jax.value_and_grad`.
    """
    if method not in ("factored", "dense"):
        raise ValueError(f"method must be 'factored' or 'dense', got {method!r}")
    if microbatch_size is not None:
        return _microbatched(loss_fn, has_aux, method, microbatch_size)
    step = _factored if method == "factored" else _dense
    compiled = jax.jit(lambda params, batch, shared: step(loss_fn, has_aux, params, batch, shared))

    def value_and_grads_fn(params: chex.ArrayTree, batch: chex.ArrayTree, *shared: Any) -> Any:
        check_parameters(params)
        batch_size(batch)
        return compiled(params, batch, shared)

    return value_and_grads_fn


def _microbatched(
    loss_fn: Callable[..., Any], has_aux: bool, method: Method, microbatch_size: int
) -> Callable[..., Any]:
    if microbatch_size < 1:
        raise ValueError(f"microbatch_size must be at least 1, got {microbatch_size}")
    grads_fn = per_example_grads(loss_fn, has_aux, method)

    def scalar_loss(*args: Any) -> Any:
        return loss_fn(*args)[0] if has_aux else loss_fn(*args)

    def block_grads(*args: Any) -> Any:
        return grads_fn(*args)[0] if has_aux else grads_fn(*args)

    def value_and_grads_fn(params: chex.ArrayTree, batch: chex.ArrayTree, *shared: Any) -> Any:
        check_parameters(params)
        batch_size(batch)
        values = jax.lax.map(
            lambda example: loss_fn(params, example, *shared), batch, batch_size=microbatch_size
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
    one = checked_value_and_grad(loss_fn, has_aux)
    return jax.vmap(lambda example: one(params, example, *shared))(batch)


def _factored(
    loss_fn: Callable[..., Any],
    has_aux: bool,
    params: chex.ArrayTree,
    batch: chex.ArrayTree,
    shared: tuple[Any, ...],
) -> Any:
    plan = plan_gradients(loss_fn, has_aux, params, batch, shared)
    terms = [term for leaf in plan.leaves for term in leaf.terms]
    dense = [leaf.atom for leaf in plan.leaves if leaf.reason is not None]

    def one(example: list[Any]) -> Any:
        arguments = [*jax.tree.leaves(params), *example, *jax.tree.leaves(shared)]
        return plan.program.factors(arguments, [*plan.values, *dense], terms)

    outputs, factors = jax.vmap(one)(jax.tree.leaves(batch))
    values = outputs[: len(plan.values)]
    gradients, pairs = iter(outputs[len(plan.values) :]), iter(factors)
    leaves = [
        leaf.assemble([next(pairs) for _ in leaf.terms]) if leaf.reason is None else next(gradients)
        for leaf in plan.leaves
    ]
    return jax.tree.unflatten(plan.out_tree, [*values, *leaves])
