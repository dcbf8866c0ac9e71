"""Checks of what attacks are given."""

import numpy as np
from jaxtyping import Bool, Float


def check_members(
    name: str, signal: np.ndarray, members: np.ndarray
) -> tuple[Float[np.ndarray, "models examples ..."], Bool[np.ndarray, "models examples"]]:
    """The signal in float64 and the membership as booleans.

    Raises:
        ValueError: if shapes do not match, there are fewer than 3 models, or the signal is not
            finite.
    """
    signal, members = np.asarray(signal, np.float64), np.asarray(members, bool)
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
