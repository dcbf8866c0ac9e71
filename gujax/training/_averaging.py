"""Parameter averaging: the model that is released is the average of those along the way."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from gujax.transforms import Scalar
from gujax.validation import check_probability


class AverageState(NamedTuple):
    """State of `average_parameters`: the average after so many steps."""

    average: PyTree
    average_steps: Int[Array, ""]


def average_parameters(decay: Scalar) -> optax.GradientTransformation:
    """Keep an exponential moving average of the parameters; goes last in an optax chain.

    After step t, counted from 0, average ← d · average + (1 − d) · parameters with
    d = min(decay, (1 + t)/(10 + t)): the warm-up lets the start be forgotten in short runs. It
    changes no update, and under DP-SGD it only post-processes what is released anyway (De et al.
    2022, arXiv 2204.13650, §3.2).

    Args:
        decay: in [0, 1]: 0 keeps the last parameters; may be traced.

    Returns:
        Transformation that returns the updates as they are; `update` needs ``params``.

    Raises:
        ValueError: if ``decay`` is out of its range.
    """
    check_probability("decay", decay, open=False)

    def init(params: PyTree) -> AverageState:
        # Copies, so that donating the state does not delete the caller's parameters.
        return AverageState(jax.tree.map(jnp.copy, params), jnp.zeros((), jnp.int32))

    def update(
        updates: PyTree, state: AverageState, params: PyTree | None = None
    ) -> tuple[PyTree, AverageState]:
        if params is None:
            raise ValueError("params is missing: call update(updates, state, params)")
        step = state.average_steps
        rate = 1 - jnp.minimum(decay, (1 + step) / (10 + step))
        after = optax.apply_updates(params, updates)
        average = optax.incremental_update(after, state.average, rate)
        return updates, AverageState(average, step + 1)

    return optax.GradientTransformation(init, update)


def released_params(params: PyTree, opt_state: PyTree) -> PyTree:
    """The parameters to evaluate and release: the average if the optimizer keeps one.

    Args:
        params: last parameters, of one model or of many.
        opt_state: state of the optimizer, alike.

    Returns:
        A pytree like ``params``.
    """

    def keeps_average(node: PyTree) -> bool:
        return isinstance(node, AverageState)

    for node in jax.tree.leaves(opt_state, is_leaf=keeps_average):
        if keeps_average(node):
            return node.average
    return params
