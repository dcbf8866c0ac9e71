"""State of a transformation of per-example gradients: of one shape from `init` on.

A state that changes its shape cannot be restored from a checkpoint, carried by a loop or handed to
a program compiled ahead of time, and has every program compiled twice. Where the size of a batch is
not given, numbers per example therefore lie in slots, more than are filled.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gujax.uniqueness import Ledger

# Slots where no batch size is given: 16 KiB for each kind of number.
MOST_EXAMPLES = 4096


class AggregationState(NamedTuple):
    """State of a transformation of per-example gradients.

    Attributes:
        uniqueness_slots: see `uniqueness`; zero beyond the last batch. None if it is not measured.
        slots: see `weights`; zero beyond the last batch.
        ledger: what each example of the data set has disclosed so far through the released sums,
            or None if `num_examples` was not given.
        filled: size of the last batch, or None if `batch_size` was given: all slots are filled.
    """

    uniqueness_slots: Float[Array, " slots"] | None
    slots: Float[Array, " slots"]
    ledger: Ledger | None
    filled: Int[Array | np.ndarray, ""] | None

    @property
    def uniqueness(self) -> Float[Array, " batch"] | None:
        """GNQ of each example of the last batch as it came in, before the defense.

        Under `dp_sgd`: as clipped. 0 for padded examples. None if it is not measured.
        """
        return of_batch(self.uniqueness_slots, self.filled)

    @property
    def weights(self) -> Float[Array, " batch"]:
        """w_i of the released Σ w_i g_i, before the division by the number of examples."""
        weights = of_batch(self.slots, self.filled)
        assert weights is not None
        return weights

    @property
    def batch_size(self) -> int | None:
        """The size that every batch must have; None if it was not given."""
        return self.slots.shape[-1] if self.filled is None else None


class KeyedState(NamedTuple):
    """State of a transformation that draws: that of every aggregation, and the draws' key."""

    aggregation: AggregationState
    key: PRNGKeyArray

    @property
    def uniqueness(self) -> Float[Array, " batch"] | None:
        """See `AggregationState`."""
        return self.aggregation.uniqueness

    @property
    def weights(self) -> Float[Array, " batch"]:
        """See `AggregationState`."""
        return self.aggregation.weights

    @property
    def ledger(self) -> Ledger | None:
        """See `AggregationState`."""
        return self.aggregation.ledger

    @property
    def batch_size(self) -> int | None:
        """See `AggregationState`."""
        return self.aggregation.batch_size


def of_batch(slots: Array | None, filled: Array | np.ndarray | None) -> Array | None:
    """The slots that the last batch filled.

    Raises:
        ValueError: how many that are is not known, because the state came into a program from
            outside of it.
    """
    if slots is None or filled is None:
        return slots
    if isinstance(filled, jax.core.Tracer):
        raise ValueError(
            "how many examples the last batch had is not known inside of jit: give the "
            "transformation batch_size=, or read the state where update returned it"
        )
    return slots[..., : int(np.max(filled))]


def empty_state(
    batch_size: int | None, dtype: jnp.dtype, ledger: Ledger | None, measures: bool
) -> AggregationState:
    """The state before the first batch."""
    slots = jnp.zeros(MOST_EXAMPLES if batch_size is None else batch_size, dtype)
    filled = jnp.zeros((), jnp.int32) if batch_size is None else None
    return AggregationState(jnp.zeros_like(slots) if measures else None, slots, ledger, filled)


def filled_state(
    state: AggregationState,
    uniqueness: Float[Array, " batch"] | None,
    weights: Float[Array, " batch"],
    ledger: Ledger | None,
) -> AggregationState:
    """The state after a batch; it has the shapes of the one before."""
    missing = (0, state.slots.shape[0] - weights.shape[0])
    return AggregationState(
        None if uniqueness is None else jnp.pad(uniqueness, missing),
        jnp.pad(weights, missing),
        ledger,
        # No array of JAX: it is known also where the rest of the state is traced.
        None if state.filled is None else np.asarray(weights.shape[0], np.int32),
    )
