"""Which reconstruction is of which example."""

import jax
import numpy as np
from jaxtyping import Int, PyTree
from scipy.optimize import linear_sum_assignment


def match_to_truth(inputs: PyTree, truth: PyTree) -> Int[np.ndarray, " batch"]:
    """The order of the reconstructions that fits the truth best.

    The gradient of a batch does not depend on the order of its examples, so a reconstruction is
    only known up to it. The assignment with the least total squared error is found exactly.

    Args:
        inputs: reconstructed inputs, a pytree of arrays [B, ...].
        truth: true inputs, likewise.

    Returns:
        ``order`` such that ``inputs[order]`` compares with ``truth``, [B].

    Raises:
        ValueError: if shapes differ or a reconstruction is not finite.
    """
    shapes = [jax.tree.map(np.shape, x) for x in (inputs, truth)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"inputs has shapes {shapes[0]}, truth {shapes[1]}; they must be the same")
    a, b = (_rows(x) for x in (inputs, truth))
    if not np.isfinite(a).all():
        raise ValueError(
            "inputs has entries that are not finite: the search diverged; lower the learning rate "
            "or add restarts"
        )
    costs = ((b[:, None] - a[None]) ** 2).sum(-1)
    return linear_sum_assignment(costs)[1]


def _rows(x: PyTree) -> np.ndarray:
    """Each example's values in one row, in float64, [B, D]."""
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(x)]
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)
