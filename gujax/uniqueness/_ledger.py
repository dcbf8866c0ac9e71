"""Per-example totals over a run, as a pytree that lives in optimizer state."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gujax.sharding import automatic_axes
from gujax.validation import is_concrete


class Ledger(NamedTuple):
    """What has been disclosed about each example of a data set so far.

    Attributes:
        nats: sum over steps of the information disclosed, [N], in nats.
        mu_squared: sum over steps of mu^2, [N]; its root is the composed Gaussian-DP parameter.
        steps: in how many steps the example took part, [N].
    """

    nats: Float[Array, " examples"]
    mu_squared: Float[Array, " examples"]
    steps: Int[Array, " examples"]


def init_ledger(num_examples: int) -> Ledger:
    """An empty ledger.

    Args:
        num_examples: size N of the data set; example ids are 0 to N - 1.

    Returns:
        A ledger of zeros.

    Raises:
        ValueError: if ``num_examples`` is not positive.
    """
    if num_examples < 1:
        raise ValueError(f"num_examples must be at least 1, got {num_examples}")
    return Ledger(
        nats=jnp.zeros(num_examples),
        mu_squared=jnp.zeros(num_examples),
        steps=jnp.zeros(num_examples, jnp.int32),
    )


@automatic_axes
def update_ledger(
    ledger: Ledger,
    example_ids: Int[Array, " batch"],
    nats: Float[Array, " batch"],
    mu: Float[Array, " batch"],
    mask: Bool[Array, " batch"] | None = None,
) -> Ledger:
    """Add one step to the ledger.

    Args:
        ledger: the totals so far.
        example_ids: id of each example of the batch, [B]. An id that occurs twice is added twice.
            Inside jit an id outside 0 to N - 1 is dropped.
        nats: information that this step discloses about each example, [B].
        mu: Gaussian-DP parameter of this step for each example, [B].
        mask: [B], false for padded examples, which are not counted; their ids may be anything.

    Returns:
        The new totals.

    Raises:
        ValueError: outside jit, if an unmasked id is out of range; always, if shapes differ.
    """
    num_examples = ledger.nats.shape[0]
    ids = jnp.asarray(example_ids)
    for name, value in (("nats", nats), ("mu", mu), ("mask", mask)):
        if value is not None and jnp.shape(value) != ids.shape:
            raise ValueError(
                f"{name} must have shape {ids.shape}, as example_ids has, got {jnp.shape(value)}"
            )
    counted = (ids >= 0) & (ids < num_examples)
    if mask is not None:
        counted &= jnp.asarray(mask, bool)
    _check_ids(ids, counted, mask, num_examples)
    # A negative index would count from the end: everything not counted goes past it instead.
    target = jnp.where(counted, ids, num_examples)
    return Ledger(
        nats=ledger.nats.at[target].add(nats, mode="drop"),
        mu_squared=ledger.mu_squared.at[target].add(jnp.square(mu), mode="drop"),
        steps=ledger.steps.at[target].add(1, mode="drop"),
    )


def _check_ids(ids, counted, mask, num_examples):
    if not is_concrete(counted):
        return
    meant = np.ones(ids.shape, bool) if mask is None else np.asarray(mask, bool)
    wrong = np.asarray(ids)[meant & ~np.asarray(counted)]
    if wrong.size:
        raise ValueError(
            f"example_ids must lie in 0 to {num_examples - 1}, got {wrong[0]}; "
            "give the ledger the size of the whole data set, or mask padded examples"
        )
