"""Several measurements of every example along one training run."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

from gujax.uniqueness import Ledger

Statistic = Callable[[PyTree, Bool[Array, " batch"]], Float[Array, " batch"]]


class RecorderState(NamedTuple):
    """State of `record`; the first three fields are those of `gujax.transforms`.

    Attributes:
        totals: Sum over steps of each statistic, by name.
        steps: In how many steps each example took part.
    """

    uniqueness: Float[Array, " batch"] | None
    weights: Float[Array, " batch"]
    ledger: Ledger | None
    plain: PyTree
    totals: dict[str, Float[Array, " examples"]]
    steps: Int[Array, " examples"]


def record(
    plain: optax.GradientTransformationExtraArgs,
    statistics: Mapping[str, Statistic],
    num_examples: int,
) -> optax.GradientTransformationExtraArgs:
    """Updates by `plain`; every batch is also measured by each statistic, and totals are kept.

    A ledger knows one uniqueness under one ridge. A study compares several on the same run.

    Args:
        statistics: Name to a function of per-example gradients and mask, both [B, ...], that gives
            one number per example, [B].
        num_examples: Size N of the data set; `example_ids=` is required.
    """

    def init(params: PyTree) -> RecorderState:
        made = plain.init(params)
        totals = {name: jnp.zeros(num_examples) for name in statistics}
        steps = jnp.zeros(num_examples, jnp.int32)
        return RecorderState(made.uniqueness, made.weights, made.ledger, made, totals, steps)

    def update(
        updates: PyTree,
        state: RecorderState,
        params: PyTree | None = None,
        *,
        example_ids: Int[Array, " batch"],
        mask: Bool[Array, " batch"],
        **extra: object,
    ) -> tuple[PyTree, RecorderState]:
        released, made = plain.update(
            updates, state.plain, params, example_ids=example_ids, mask=mask, **extra
        )
        # Padded slots hold some example's id: they go past the end.
        target = jnp.where(mask, example_ids, num_examples)
        totals = {
            name: state.totals[name].at[target].add(statistic(updates, mask), mode="drop")
            for name, statistic in statistics.items()
        }
        steps = state.steps.at[target].add(1, mode="drop")
        return released, RecorderState(
            made.uniqueness, made.weights, made.ledger, made, totals, steps
        )

    return optax.GradientTransformationExtraArgs(init, update)
