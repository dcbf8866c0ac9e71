"""Say, before anything is computed, how the gradients of a loss will be had and what it costs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import chex
import jax
import jax.numpy as jnp

from gujax.gradients._added import added_by_audit
from gujax.gradients._arguments import BoundLoss, call_bound
from gujax.gradients._cost import Way, checked_options, kept_elements
from gujax.gradients._plan import LeafPlan, Plan, plan_gradients
from gujax.gradients._tracing import check_parameters


@dataclass(frozen=True)
class ParameterReport:
    """What is known of one parameter.

    Attributes:
        name: its path in the pytree.
        shape: its shape.
        sites: how often it is used in a product.
        gram: "inner" (products of positions), "outer" (products multiplied out, in blocks where
            they are large) or "dense" (no factors).
        gram_flops: floating-point operations of its part of the Gram matrix.
        memory: elements kept for the whole batch until the gradients are used.
        working_memory: bytes taken while the Gram matrix is computed, one block at a time.
        reason: why the gradient is dense, or None.
        added_flops: floating-point operations that an audited mean takes beside a plain step.
        added_bytes: bytes that it forms on the way, to write them and read them again.
    """

    name: str
    shape: tuple[int, ...]
    sites: int
    gram: str
    gram_flops: int
    memory: int
    working_memory: int
    reason: str | None
    added_flops: int
    added_bytes: int


@dataclass(frozen=True)
class Explanation:
    """One report per parameter; `print` it for a table."""

    batch_size: int
    parameters: tuple[ParameterReport, ...]

    @property
    def fallbacks(self) -> tuple[ParameterReport, ...]:
        """Parameters whose gradients are dense because no rule applied."""
        return tuple(report for report in self.parameters if report.reason is not None)

    def __str__(self) -> str:
        header = (
            *("parameter", "shape", "sites", "gram", "gram flops"),
            *("elements kept", "working bytes", "note"),
        )
        rows = [
            (
                report.name or "(the whole tree)",
                "×".join(map(str, report.shape)) or "scalar",
                str(report.sites or "-"),
                report.gram,
                f"{report.gram_flops:.1e}",
                f"{report.memory:,}",
                f"{report.working_memory:,}",
                report.reason or "",
            )
            for report in self.parameters
        ]
        widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (header, *rows)
        ]
        return f"batch size {self.batch_size}\n" + "\n".join(lines)


def explain(
    loss_fn: Callable[..., Any],
    params: chex.ArrayTree,
    example: chex.ArrayTree,
    *shared: Any,
    batch_size: int = 32,
    has_aux: bool = False,
    gram_way: Way | None = None,
    memory_limit: int | None = None,
) -> Explanation:
    """Explain how `per_example_grads(loss_fn)` will treat each parameter.

    Only traces the loss: no gradient is computed.

    Args:
        loss_fn: loss of one example.
        params: parameters, or their shapes.
        example: ONE example (no leading axis), or its shapes.
        shared: what all examples share.
        batch_size: for which costs are predicted and the cheaper way is chosen.
        has_aux: whether `loss_fn` returns auxiliary output.
        gram_way: as in `per_example_grads`.
        memory_limit: as in `per_example_grads`.

    Returns:
        An `Explanation`; printing it gives a table.

    Raises:
        ValueError: as `per_example_grads` would.
    """
    check_parameters(params)
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((batch_size, *jnp.shape(x)), jnp.result_type(x)), example
    )
    # Where parameters lie makes no difference to what their gradients are computed from.
    params = jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x)), params)
    options = checked_options(gram_way, memory_limit)

    def planned(loss: BoundLoss, arrays: tuple[Any, ...]) -> Plan:
        return plan_gradients(loss, has_aux, params, batch, arrays, options)

    plan = call_bound(planned, loss_fn, shared, {})
    return Explanation(batch_size, tuple(_report(leaf, batch_size) for leaf in plan.leaves))


def _report(leaf: LeafPlan, examples: int) -> ParameterReport:
    elements = examples * math.prod(leaf.shape)
    added = added_by_audit(leaf, examples)
    if leaf.choice is None:
        flops = 2 * examples * elements
        return ParameterReport(
            leaf.name, leaf.shape, 0, "dense", flops, elements, 0, leaf.reason, *added
        )
    sites = [sizes for sizes, _ in leaf.collapsed]
    return ParameterReport(
        leaf.name,
        leaf.shape,
        len(sites),
        leaf.choice.way,
        leaf.choice.flops,
        elements if leaf.formed else examples * kept_elements(sites),
        0 if leaf.formed else leaf.choice.memory,
        None,
        *added,
    )
