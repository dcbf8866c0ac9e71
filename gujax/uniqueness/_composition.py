"""From one step to many, and from a batch to the data set."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from gujax.validation import check_probability


def compose_nats(nats: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
    """Information disclosed by several steps, the sum of theirs.

    Args:
        nats: information per step, in nats.
        axis: the axis of steps.

    Returns:
        The total in nats, ``axis`` removed. It may exceed the entropy of membership: it bounds
        what is disclosed, and does not know that a bit is disclosed only once.
    """
    return jnp.sum(nats, axis=axis)


def compose_mu(mu: Float[Array, "..."], axis: int = 0) -> Float[Array, "..."]:
    """Gaussian-DP parameter of several steps, sqrt(sum_t mu_t^2).

    Args:
        mu: Gaussian-DP parameter per step.
        axis: the axis of steps.

    Returns:
        The composed parameter, ``axis`` removed.

    Source: Dong, Roth, Su 2022, Corollary 3.3 of arXiv 1905.02383.
    """
    return jnp.sqrt(jnp.sum(jnp.square(mu), axis=axis))


def batch_to_dataset_uniqueness(gnq: ArrayLike, sampling_rate: ArrayLike) -> Float[Array, "..."]:
    """Estimate an example's GNQ among the whole data set from its GNQ within a batch.

    A batch that holds each example with probability q has S_batch ≈ q S_dataset, hence
    GNQ_dataset(lambda) ≈ q GNQ_batch(q lambda). With inclusion probability q in the disclosure
    functions and noise sigma, lambda = sigma^2 / (q (1 - q)), so that the batch is to be given the
    ridge sigma^2 / (1 - q).

    Args:
        gnq: gradient uniqueness within the batch, computed with ``sampling_rate`` times the ridge
            that is meant for the data set, any shape.
        sampling_rate: q = B / N in (0, 1).

    Returns:
        The estimate of the data-set GNQ, of the same shape.

    Raises:
        ValueError: if ``sampling_rate`` is outside (0, 1).
    """
    check_probability("sampling_rate", sampling_rate)
    return jnp.asarray(gnq) * sampling_rate
