"""Inverting Gradients in PyTorch, as its authors' code has it; needs the `bench` extra."""

import jax
import numpy as np
import torch
from jaxtyping import PyTree

from experiments.jobs.benchmark.torch_twins import ChannelsLast, as_ours, convolution, linear

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
        """Makes the twin and what the victim shares; images are [H, W, C], limits a box."""
        self.model, twin = _lenet(params)
        self._weights, self._tree = jax.tree.flatten(twin)
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

    def shared(self) -> PyTree:
        """What the victim shares, as a pytree like ours."""
        return jax.tree.unflatten(self._tree, map(as_ours, self._shared))

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


def _lenet(params: PyTree) -> tuple[torch.nn.Module, PyTree]:
    layers: list[torch.nn.Module] = []
    twins = {}
    for index, ours in params["convolutions"].items():
        padding = ours["kernel"].shape[0] // 2
        layer, twins[index] = convolution(ours, stride=_STRIDES[index], padding=padding)
        layers += [layer, torch.nn.ReLU()]
    head, twin = linear(params["head"])
    model = torch.nn.Sequential(*layers, ChannelsLast(), head)
    return model, {"convolutions": twins, "head": twin}


def _image(x: np.ndarray) -> torch.Tensor:
    """[1, C, H, W], in the layout that PyTorch is quickest with."""
    return torch.tensor(np.array(x)).permute(2, 0, 1)[None].contiguous()
