"""Auditing only every k-th step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from gujax.uniqueness import Ledger


class EveryState(NamedTuple):
    """State of `audit_every`; the first three fields are those of `gujax.transforms`."""

    uniqueness: Float[Array, " batch"]
    weights: Float[Array, " batch"]
    ledger: Ledger
    plain: PyTree
    audited: PyTree
    step: Int[Array, ""]


def audit_every(
    k: int,
    plain: optax.GradientTransformationExtraArgs,
    audited: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
    """Updates by `plain`; every k-th step is also measured by `audited`, starting with the first.

    `audited` is the same transformation with a ledger; its updates are not used.
    """

    def init(params: PyTree) -> EveryState:
        measured, made = audited.init(params), plain.init(params)
        return EveryState(
            measured.uniqueness, made.weights, measured.ledger, made, measured, jnp.zeros((), int)
        )

    def update(
        updates: PyTree, state: EveryState, params: PyTree | None = None, **extra: object
    ) -> tuple[PyTree, EveryState]:
        released, made = plain.update(updates, state.plain, params, **extra)
        measured = jax.lax.cond(
            state.step % k == 0,
            lambda: audited.update(updates, state.audited, params, **extra)[1],
            lambda: state.audited,
        )
        return released, EveryState(
            measured.uniqueness, made.weights, measured.ledger, made, measured, state.step + 1
        )

    return optax.GradientTransformationExtraArgs(init, update)
