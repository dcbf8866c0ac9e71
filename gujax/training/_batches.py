"""Batches of fixed physical shape, drawn from the members only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from scipy import stats

from gujax.validation import check_count

Sampling = Literal["shuffle", "poisson"]

# A Poisson batch larger than its physical size is cut. The size is chosen so that this happens
# with less than this probability in a whole run, over all models.
_OVERFLOW_PROBABILITY = 1e-6


@dataclass(frozen=True)
class BatchPlan:
    """The static shape of training.

    Attributes:
        sampling: ``"shuffle"`` (every member once per epoch) or ``"poisson"`` (every member joins
            every batch independently).
        batch_size: number of examples per batch; expected number if sampling is Poisson.
        physical_size: number of slots B of a batch, filled or masked.
        steps_per_epoch: number of batches per epoch.
        num_members: number of members; the largest, if models differ.
        sampling_rate: probability that a member is in a given batch, ``batch_size/num_members``.
        may_be_empty: whether a shuffled epoch of some model may end in batches without examples,
            because others have more members; those batches change nothing.
    """

    sampling: Sampling
    batch_size: int
    physical_size: int
    steps_per_epoch: int
    num_members: int
    sampling_rate: float
    may_be_empty: bool


class Batch(NamedTuple):
    """Positions in the split of one batch, [B], and which slots are filled, [B].

    ``overflow`` is the number of examples that were drawn and found no slot (Poisson only).
    """

    positions: Int[Array, " batch"]
    mask: Bool[Array, " batch"]
    overflow: Int[Array, ""]


def plan_batches(
    members: int | Bool[np.ndarray, "*models examples"],
    batch_size: int,
    epochs: int,
    sampling: Sampling = "shuffle",
) -> BatchPlan:
    """Choose the static shapes of batches.

    A Poisson batch has a random size, a compiled step a fixed one: the physical size is the
    smallest that no batch of the run exceeds, in any model, with probability 1 − 1e-6 (union
    bound over binomial tails). A larger batch is cut, and the cut examples are counted.

    Args:
        members: number of examples to train on, or a mask [N], or one per model, [M, N].
        batch_size: number of examples per batch; expected number if sampling is Poisson.
        epochs: number of epochs; one epoch of Poisson batches has as many steps as a shuffled one
            (N/batch_size), so that it sees every member once on average.
        sampling: ``"shuffle"`` or ``"poisson"``.

    Returns:
        The plan; ``physical_size`` is the ``batch_size=`` that `gujax.transforms` need, and
        ``sampling_rate`` and ``steps_per_epoch`` are what an accountant needs.

    Raises:
        ValueError: if an argument is out of range, or a model has no members.
    """
    counts = np.atleast_1d(members if np.ndim(members) == 0 else np.sum(members, axis=-1))
    largest, smallest = int(counts.max()), int(counts.min())
    if smallest < 1:
        raise ValueError("member_mask leaves a model without members; give each at least one")
    if not 1 <= batch_size <= largest:
        raise ValueError(
            f"batch_size={batch_size} must be between 1 and the number of members, {largest}"
        )
    check_count("epochs", epochs)
    if sampling not in ("shuffle", "poisson"):
        raise ValueError(f"sampling={sampling!r} must be 'shuffle' or 'poisson'")

    rate = batch_size / largest
    steps = -(-largest // batch_size)
    physical_size = batch_size
    if sampling == "poisson":
        tail = _OVERFLOW_PROBABILITY / (steps * epochs * counts.size)
        physical_size = min(largest, int(stats.binom.isf(tail, largest, rate)))
    return BatchPlan(
        sampling=sampling,
        batch_size=batch_size,
        physical_size=physical_size,
        steps_per_epoch=steps,
        num_members=largest,
        sampling_rate=rate,
        may_be_empty=sampling == "shuffle" and smallest <= (steps - 1) * batch_size,
    )


def epoch_batches(
    plan: BatchPlan, key: PRNGKeyArray, members: Bool[Array, " examples"]
) -> Callable[[Int[Array, ""]], Batch]:
    """The batches of one epoch.

    Empty slots hold the position of some member: an example outside the members is never read.

    Args:
        plan: static shapes.
        key: PRNG key of the epoch.
        members: which examples may be drawn, [N].

    Returns:
        Function from the step, 0 to ``steps_per_epoch - 1``, to its batch.
    """
    if plan.sampling == "shuffle":
        return _shuffled(plan, key, members)
    return _poisson(plan, key, members)


def _shuffled(plan: BatchPlan, key: PRNGKeyArray, members: Bool[Array, " examples"]):
    draws = jnp.where(members, jax.random.uniform(key, members.shape), jnp.inf)
    order = jnp.argsort(draws)  # members first, in random order
    num_members = jnp.sum(members)

    def batch(step: Int[Array, ""]) -> Batch:
        slots = step * plan.physical_size + jnp.arange(plan.physical_size)
        positions = order[jnp.minimum(slots, num_members - 1)]
        return Batch(positions, slots < num_members, jnp.zeros((), jnp.int32))

    return batch


def _poisson(plan: BatchPlan, key: PRNGKeyArray, members: Bool[Array, " examples"]):
    some_member = jnp.argmax(members)

    def batch(step: Int[Array, ""]) -> Batch:
        draws: Float[Array, " examples"] = jax.random.uniform(
            jax.random.fold_in(key, step), members.shape
        )
        drawn = members & (draws < plan.sampling_rate)
        (positions,) = jnp.nonzero(drawn, size=plan.physical_size, fill_value=some_member)
        size = jnp.sum(drawn)
        mask = jnp.arange(plan.physical_size) < size
        return Batch(positions, mask, jnp.maximum(size - plan.physical_size, 0).astype(jnp.int32))

    return batch
