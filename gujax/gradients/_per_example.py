"""Per-example gradients of any JAX loss."""

from collections.abc import Callable
from typing import Any

import chex

from gujax.gradients._arguments import BoundLoss, call_bound
from gujax.gradients._cost import DEFAULT_OPTIONS, Way, checked_options
from gujax.gradients._evaluation import Method, Setting, values_and_grads
from gujax.gradients._microbatch import values_and_microbatched
from gujax.gradients._tracing import batch_size, check_parameters


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
            norms, may take beside the factors; it is then done in blocks. None stands for 8 MiB,
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

    def grads_fn(
        params: chex.ArrayTree, batch: chex.ArrayTree, *shared: Any, **keywords: Any
    ) -> Any:
        values, grads = inner(params, batch, *shared, **keywords)
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
    if microbatch_size is not None and microbatch_size < 1:
        raise ValueError(f"microbatch_size must be at least 1, got {microbatch_size}")
    setting = Setting(has_aux, method, options)

    def value_and_grads_fn(
        params: chex.ArrayTree, batch: chex.ArrayTree, *shared: Any, **keywords: Any
    ) -> Any:
        check_parameters(params)
        batch_size(batch)

        def compute(loss: BoundLoss, arrays: tuple[Any, ...]) -> Any:
            if microbatch_size is None:
                return values_and_grads(loss, setting, params, batch, arrays)
            return values_and_microbatched(loss, setting, microbatch_size, params, batch, arrays)

        return call_bound(compute, loss_fn, shared, keywords)

    return value_and_grads_fn
