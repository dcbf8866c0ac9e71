"""Layers of PyTorch with the parameters of ours; they need the `bench` extra.

With each layer comes its twin: its own parameters as a pytree like ours.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import PyTree

Twinned = tuple[Any, PyTree]

# The order in which PyTorch has the axes of our parameters, and the other way round, by their
# number: [height, width, in, out] of a convolution is [out, in, height, width] there.
_THEIRS = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
_OURS = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}


class ChannelsLast(torch.nn.Module):
    """Flattens images as ours are flattened: channels vary fastest."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def linear(ours: PyTree) -> Twinned:
    """A fully connected layer."""
    return filled(torch.nn.Linear(*ours["kernel"].shape), ours)


def convolution(ours: PyTree, **options: Any) -> Twinned:
    """A convolution; stride and padding are not in its parameters."""
    *size, c_in, c_out = ours["kernel"].shape
    return filled(torch.nn.Conv2d(c_in, c_out, tuple(size), **options), ours)


def group_norm(ours: PyTree) -> Twinned:
    """Normalization of groups of 8 channels, as Flax has it."""
    (channels,) = ours["scale"].shape
    return filled(torch.nn.GroupNorm(channels // 8, channels, eps=1e-6), ours)


def as_ours(theirs: torch.Tensor) -> np.ndarray:
    """A parameter, or its gradient, with its axes in our order."""
    return theirs.detach().permute(_OURS[theirs.ndim]).numpy()


def filled(layer: Any, ours: PyTree) -> Twinned:
    """A layer with our parameters in it."""
    twin = {name: layer.bias if name == "bias" else layer.weight for name in ours}
    with torch.no_grad():
        for name, theirs in twin.items():
            theirs.copy_(torch.tensor(np.array(ours[name])).permute(_THEIRS[theirs.ndim]))
    return layer, twin
