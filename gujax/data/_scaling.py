"""Scaling of tabular features."""

import numpy as np
from jaxtyping import Float


def standardize(
    train: Float[np.ndarray, "train features"], test: Float[np.ndarray, "test features"]
) -> tuple[Float[np.ndarray, "train features"], Float[np.ndarray, "test features"]]:
    """Subtract the mean and divide by the standard deviation of the training split.

    A feature that is constant over the training split becomes 0 there.

    Args:
        train: features of the training split, [N, ...].
        test: features of the test split, [N', ...].

    Returns:
        Both, scaled with the same numbers.
    """
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1)
    return (train - mean) / deviation, (test - mean) / deviation
