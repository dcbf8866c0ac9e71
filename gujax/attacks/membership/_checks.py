"""Checks of what attacks are given."""

import numpy as np
from jaxtyping import Bool, Float


def check_members(
    name: str, signal: np.ndarray, members: np.ndarray
) -> tuple[Float[np.ndarray, "models examples ..."], Bool[np.ndarray, "models examples"]]:
    """The signal in float64 and the membership as booleans.

    Raises:
        ValueError: if shapes do not match, there are fewer than 3 models, the signal is not
            finite, or members are neither true nor false.
    """
    signal, members = np.asarray(signal, np.float64), as_mask("members", members)
    if members.ndim != 2 or signal.shape[:2] != members.shape:
        raise ValueError(
            f"{name} has shape {signal.shape} and members {members.shape}; both must start with "
            "(models, examples)"
        )
    if len(members) < 3:
        raise ValueError(
            f"{name} is of {len(members)} models; a target needs at least 2 shadow models, so "
            "train 3 or more"
        )
    if not np.isfinite(signal).all():
        raise ValueError(
            f"{name} has {np.sum(~np.isfinite(signal))} entries that are not finite; a model has "
            "probably diverged, so lower its learning rate or leave it out"
        )
    return signal, members


def check_probabilities(name: str, values: np.ndarray) -> None:
    """Check that all are probabilities.

    Raises:
        ValueError: if one is NaN or outside of [0, 1], as log-probabilities are.
    """
    if not ((values >= 0) & (values <= 1 + 1e-6)).all():  # a softmax in float32 exceeds 1 so far
        raise ValueError(
            f"{name} has entries from {values.min()} to {values.max()}, needed are probabilities "
            "between 0 and 1; of log-probabilities take np.exp, and leave diverged models out"
        )


def as_mask(name: str, values: np.ndarray) -> Bool[np.ndarray, "..."]:
    """A mask of booleans, or of zeros and ones, as booleans.

    Raises:
        ValueError: if it holds anything else, as -1 for "not", or positions: all of these would
            count as true.
    """
    array = np.asarray(values)
    if array.dtype != bool and not np.isin(array, (0, 1)).all():
        raise ValueError(
            f"{name} must be true or false (or 1 or 0) everywhere, it has other values of type "
            f"{array.dtype}"
        )
    return array.astype(bool)
