"""Inputs of a batch that can be read from a first fully connected layer, in closed form."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gujax.attacks.inversion._analytic import first_layer_input
from gujax.attacks.inversion._exact import NotInvertible

_DIRECTIONS = 16  # random ones in which inputs are compared
_FAINT = 1e-3  # units with a smaller share of the largest bias gradient are left out


class LoneInputs(NamedTuple):
    """Inputs that some units are activated by alone, those with the most units first.

    Attributes:
        inputs: [found, inputs].
        units: how many units agree on each, at least 2, [found].
    """

    inputs: Float[Array, "found inputs"]
    units: Int[np.ndarray, " found"]


def lone_inputs(
    kernel_gradient: Float[Array, "inputs outputs"], bias_gradient: Float[Array, " outputs"]
) -> LoneInputs:
    """The inputs of a batch that two or more units of the first layer are activated by alone.

    A unit's gradient divided by its bias gradient is a weighted mean of the inputs that activate
    it: an input itself where there is but one (Geiping et al. 2020, proposition 3.1; of batches:
    Boenisch et al. 2023, "When the curious abandon honesty", arXiv 2112.02918). Two such units give
    the same input to the last digit, two means do not, so agreement tells inputs from mixtures:
    the attacker needs no truth for it, and no parameters. With half of the units active, a unit is
    activated by just one of B examples with probability B / 2^B: a wide layer gives many inputs of
    a small batch, and few or none of a large one.

    Args:
        kernel_gradient: gradient of the kernel, [inputs, outputs] as Flax keeps it.
        bias_gradient: gradient of the bias, [outputs].

    Returns:
        The inputs, none to all of the batch.

    Raises:
        NotInvertible: if no two units agree.
        ValueError: if shapes do not fit.
    """
    if kernel_gradient.ndim != 2 or kernel_gradient.shape[1:] != bias_gradient.shape:
        raise ValueError(
            f"kernel_gradient of shape {kernel_gradient.shape} must be (inputs, outputs) with the "
            f"outputs of bias_gradient, which has shape {bias_gradient.shape}"
        )
    strength = np.abs(np.asarray(bias_gradient))
    chosen = np.flatnonzero(strength > _FAINT * strength.max())
    kernel, bias = kernel_gradient[:, chosen], bias_gradient[chosen]
    groups = [] if not len(chosen) else _alike(np.asarray(_seen(kernel, bias)))
    if not groups:
        raise NotInvertible(
            f"no two of the {len(chosen)} active units agree on an input: each is activated by "
            "several examples, or the gradient is noisy or pruned"
        )
    inputs = [first_layer_input(kernel[:, group], bias[group]) for group in groups]
    return LoneInputs(jnp.stack(inputs), np.array([len(group) for group in groups]))


def _seen(
    kernel: Float[Array, "inputs units"], bias: Float[Array, " units"]
) -> Float[Array, "units directions"]:
    """What each unit's gradient gives, in random directions."""
    directions = jax.random.normal(jax.random.key(0), (len(kernel), _DIRECTIONS), kernel.dtype)
    return (directions.T @ (kernel / bias[None, :])).T


def _alike(seen: Float[np.ndarray, "units directions"]) -> list[Int[np.ndarray, " group"]]:
    """Groups of two or more units that give the same, the largest first."""
    tolerance = np.sqrt(np.finfo(seen.dtype).eps)
    sizes = np.linalg.norm(seen, axis=1)
    groups = []
    left = np.arange(len(seen))
    while len(left):
        first = seen[left[0]]
        away = np.linalg.norm(seen[left] - first, axis=1)
        same = away <= tolerance * np.maximum(sizes[left], sizes[left[0]])
        if same.sum() > 1:
            groups.append(left[same])
        left = left[~same]
    return sorted(groups, key=len, reverse=True)
