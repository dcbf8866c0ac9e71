"""Inverting Gradients in PyTorch, as its authors' code has it; needs the `bench` extra."""

from collections.abc import Callable

import jax
import numpy as np
import torch
from jaxtyping import PyTree

_STRIDES = (2, 2, 1)


class TorchInversion:
    """The search on a ReLU LeNet with the parameters of ours, one victim at a time.

    An iteration is a forward pass, the gradient with its graph kept, cosine distance and total
    variation, the backward pass through all of it, the sign, a step of Adam and the box.
    """

    def __init__(
        self,
        params: PyTree,
        truth: np.ndarray,
        label: int,
        start: np.ndarray,
        learning_rate: float,
        total_variation: float,
        limits: tuple[float, float],
    ):
        """Makes the twin and computes what the victim shares.

        Args:
            params: Parameters of our LeNet.
            truth: The victim's image, [H, W, C].
            label: Its label.
            start: First candidate, [H, W, C].
            learning_rate: Of Adam.
            total_variation: Weight of the total variation.
            limits: The box.
        """
        self.model = _lenet(params)
        self._weights = list(self.model.parameters())
        self._label = torch.tensor([label])
        self._total_variation, self._limits = total_variation, limits
        self._shared = [g.detach() for g in self._gradient(_image(truth), graph=False)]
        self._x = _image(start).requires_grad_()
        self._adam = torch.optim.Adam([self._x], lr=learning_rate)

    def run(self, iterations: int) -> None:
        """Makes so many iterations."""
        for _ in range(iterations):
            self._adam.zero_grad()
            self._objective().backward()
            assert self._x.grad is not None
            self._x.grad.sign_()
            self._adam.step()
            with torch.no_grad():
                self._x.clamp_(*self._limits)

    def shared(self, params: PyTree) -> PyTree:
        """What the victim shares, as a pytree like ours."""
        return jax.tree.map(_ours, params, _as_tree(self._shared, params))

    def gradient_of_objective(self) -> np.ndarray:
        """Gradient with respect to the candidate, [H, W, C]."""
        (gradient,) = torch.autograd.grad(self._objective(), self._x)
        return gradient[0].permute(1, 2, 0).numpy()

    def _gradient(self, x: torch.Tensor, graph: bool) -> tuple[torch.Tensor, ...]:
        loss = torch.nn.functional.cross_entropy(self.model(x), self._label)
        return torch.autograd.grad(loss, self._weights, create_graph=graph)

    def _objective(self) -> torch.Tensor:
        gradient = self._gradient(self._x, graph=True)
        product = squared = other = torch.zeros(())
        for ours, theirs in zip(gradient, self._shared):
            product = product + (ours * theirs).sum()
            squared = squared + ours.pow(2).sum()
            other = other + theirs.pow(2).sum()
        distance = 1 - product / (squared.sqrt() * other.sqrt())
        down = (self._x[:, :, 1:] - self._x[:, :, :-1]).abs().mean()
        across = (self._x[..., 1:] - self._x[..., :-1]).abs().mean()
        return distance + self._total_variation * (down + across)


def _lenet(params: PyTree) -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for index, ours in params["convolutions"].items():
        size, _, c_in, c_out = ours["kernel"].shape
        layer = torch.nn.Conv2d(c_in, c_out, size, _STRIDES[index], padding=size // 2)
        _copy(layer, ours, (3, 2, 0, 1))
        layers += [layer, torch.nn.ReLU()]
    head = torch.nn.Linear(*params["head"]["kernel"].shape)
    _copy(head, params["head"], (1, 0))
    return torch.nn.Sequential(*layers, _ChannelsLast(), head)


class _ChannelsLast(torch.nn.Module):
    """Flattens images as ours are flattened: channels vary fastest."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def _copy(layer: torch.nn.Conv2d | torch.nn.Linear, ours: PyTree, order: tuple[int, ...]) -> None:
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(np.array(ours["kernel"])).permute(order))
        layer.bias.copy_(torch.tensor(np.array(ours["bias"])))


def _as_tree(gradient: list[torch.Tensor], params: PyTree) -> PyTree:
    """PyTorch's order, weight before bias and layer by layer, as our tree."""
    left = iter(gradient)
    take: Callable[[], PyTree] = lambda: {"kernel": next(left), "bias": next(left)}  # noqa: E731
    return {"convolutions": {index: take() for index in params["convolutions"]}, "head": take()}


def _ours(ours: np.ndarray, theirs: torch.Tensor) -> np.ndarray:
    order = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[theirs.ndim]
    return theirs.permute(order).numpy().reshape(ours.shape)


def _image(x: np.ndarray) -> torch.Tensor:
    """[1, C, H, W], in the layout that PyTorch is quickest with."""
    return torch.tensor(np.array(x)).permute(2, 0, 1)[None].contiguous()
