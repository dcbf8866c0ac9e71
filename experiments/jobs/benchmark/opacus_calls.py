"""The same steps in PyTorch, by Opacus; needs the `bench` extra.

Opacus is compared with a plain step in PyTorch, of a model with the same parameters. There are
twins of the MLP and of the CNN only.
"""

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # read on import: no chatter of the profiler

import torch
from jaxtyping import PyTree
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

from experiments.framework.timing import interleave, summarize_times
from experiments.jobs.benchmark.cases import Case
from experiments.jobs.benchmark.costs import Effort, Result, relative_error
from experiments.jobs.benchmark.methods import L2_NORM_CLIP, LEARNING_RATE

TORCH_PLAIN, GRAD_SAMPLE, GHOST = "torch plain step", "Opacus grad_sample", "Opacus ghost"

# A parameter of the twin, and the order of axes that makes it the parameter of ours.
_Twin = tuple[torch.Tensor, tuple[int, ...]]


def has_twin(case: Case) -> bool:
    """Whether there is a PyTorch model for this case."""
    return case.family in ("mlp", "cnn")


def measure_opacus(case: Case, effort: Effort, references: dict[str, PyTree]) -> list[Result]:
    """Runs a plain step and both of Opacus' methods on a case, side by side.

    Args:
        case: Model and batch.
        effort: Limits of time and memory.
        references: Noiseless updates to compare with, by what is released.

    Returns:
        One result per method; relative times are over PyTorch's own plain step. Memory is the
        peak of PyTorch's allocator above what it held before the step.
    """
    makers: dict[str, tuple[str, Callable[[Case], _Call]]] = {
        TORCH_PLAIN: ("mean", _PlainCall),
        GRAD_SAMPLE: ("clipped mean", _GradSampleCall),
        GHOST: ("clipped mean", _GhostCall),
    }
    needed = case.batch_size * case.num_parameters * 4 / 2**20
    skipped = {}
    if needed > effort.memory_mib:
        skipped[GRAD_SAMPLE] = Result(GRAD_SAMPLE, None, None, 0, needed, "MiB or more")
    with warnings.catch_warnings():
        # Opacus warns of hooks on inputs that need no gradient, and of its random generator.
        warnings.simplefilter("ignore")
        calls = {name: make(case) for name, (_, make) in makers.items() if name not in skipped}
        samples = interleave(calls, effort.seconds, effort.rounds)
        times = summarize_times(samples, TORCH_PLAIN)
        return [
            skipped[name]
            if name in skipped
            else Result(
                name,
                *times[name],
                len(samples[name]),
                calls[name].peak_mib(),
                "",
                relative_error(calls[name].update, references[released])
                if released in references
                else None,
            )
            for name, (released, _) in makers.items()
        ]


class _Call(ABC):
    """A step on a case's data; the first adds no noise, and the others leave the parameters."""

    def __init__(self, case: Case):
        self.module, twins = _twin(case)
        x, y = map(np.asarray, case.batch)
        moved = torch.tensor(np.moveaxis(x, -1, 1))
        # Into fresh memory: with one channel, moved axes count as channels-last, all activations
        # follow, and of those Opacus takes wrong gradients without a word.
        self.x = torch.empty(moved.shape).copy_(moved)
        self.y = torch.tensor(y).long()
        self.size = case.batch_size
        self.sgd = torch.optim.SGD(self.module.parameters(), lr=LEARNING_RATE)
        self.optimizer: Any = self.sgd  # Opacus' calls wrap it
        self._twins, self._params = twins, case.params
        self.update: PyTree = None

    @abstractmethod
    def step(self) -> None:
        """One step on the data."""

    def __call__(self) -> None:
        self.step()
        if self.update is None:
            self.update = jax.tree.map(_update, self._params, self._twins)
            self.sgd.param_groups[0]["lr"] = 0.0
            if self.optimizer is not self.sgd:
                self.optimizer.noise_multiplier = 1.0

    def peak_mib(self) -> float:
        """Most memory that a step holds at a time, beyond what is held before it."""
        self.sgd.zero_grad()
        activities = [torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
            self.step()
        events = profile.profiler.kineto_results.events()
        changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
        held = np.cumsum([change for _, change in sorted(changes, key=lambda c: c[0])])
        return float(held.max(initial=0)) / 2**20


class _PlainCall(_Call):
    def step(self) -> None:
        self.sgd.zero_grad()
        torch.nn.functional.cross_entropy(self.module(self.x), self.y).backward()
        self.sgd.step()


class _OpacusCall(_Call):
    def _settings(self) -> dict[str, Any]:
        return {
            "noise_multiplier": 0.0,
            "max_grad_norm": L2_NORM_CLIP,
            "expected_batch_size": self.size,
        }


class _GradSampleCall(_OpacusCall):
    def __init__(self, case: Case):
        super().__init__(case)
        self.sampled = GradSampleModule(self.module)
        self.optimizer = DPOptimizer(self.sgd, **self._settings())

    def step(self) -> None:
        self.optimizer.zero_grad()
        torch.nn.functional.cross_entropy(self.sampled(self.x), self.y).backward()
        self.optimizer.step()


class _GhostCall(_OpacusCall):
    def __init__(self, case: Case):
        super().__init__(case)
        self.sampled = GradSampleModuleFastGradientClipping(self.module, max_grad_norm=L2_NORM_CLIP)
        self.optimizer = DPOptimizerFastGradientClipping(self.sgd, **self._settings())
        self.loss = DPLossFastGradientClipping(
            self.sampled, self.optimizer, torch.nn.CrossEntropyLoss()
        )

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.loss(self.sampled(self.x), self.y).backward()
        self.optimizer.step()


class _ChannelsLast(torch.nn.Module):
    """Flattens images as ours are flattened: channels vary fastest."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def _update(ours: Any, twin: _Twin) -> np.ndarray:
    theirs, order = twin
    after = theirs.detach().permute(order).numpy()
    return (np.asarray(ours) - after) / LEARNING_RATE


def _twin(case: Case) -> tuple[torch.nn.Module, PyTree]:
    """A PyTorch model with the parameters of the case, and its parameters as our pytree."""
    return _mlp_twin(case.params) if case.family == "mlp" else _cnn_twin(case.params)


def _mlp_twin(params: PyTree) -> tuple[torch.nn.Module, PyTree]:
    layers, twins = [], {}
    for index, ours in params["layers"].items():
        layer, twins[index] = _linear(ours)
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1]), {"layers": twins}


def _cnn_twin(params: PyTree) -> tuple[torch.nn.Module, PyTree]:
    layers: list[torch.nn.Module] = []
    twins: dict[str, Any] = {"convolutions": {}, "norms": {}}
    for index, ours in params["convolutions"].items():
        height, width, c_in, c_out = ours["kernel"].shape
        convolution = torch.nn.Conv2d(c_in, c_out, (height, width), padding="same")
        norm = torch.nn.GroupNorm(c_out // 8, c_out, eps=1e-6)  # as Flax has it
        twins["convolutions"][index] = {
            "kernel": _copy(convolution.weight, ours["kernel"], (3, 2, 0, 1)),
            "bias": _copy(convolution.bias, ours["bias"], (0,)),
        }
        theirs = params["norms"][index]
        twins["norms"][index] = {
            "scale": _copy(norm.weight, theirs["scale"], (0,)),
            "bias": _copy(norm.bias, theirs["bias"], (0,)),
        }
        layers += [convolution, norm, torch.nn.ReLU(), torch.nn.AvgPool2d(2)]
    head, twins["head"] = _linear(params["head"])
    return torch.nn.Sequential(*layers, _ChannelsLast(), head), twins


def _linear(ours: PyTree) -> tuple[torch.nn.Linear, PyTree]:
    layer = torch.nn.Linear(*ours["kernel"].shape)
    twins = {
        "kernel": _copy(layer.weight, ours["kernel"], (1, 0)),
        "bias": _copy(layer.bias, ours["bias"], (0,)),
    }
    return layer, twins


def _copy(theirs: Any, ours: Any, order: tuple[int, ...]) -> _Twin:
    with torch.no_grad():
        theirs.copy_(torch.tensor(np.asarray(ours)).permute(order))
    return theirs, tuple(int(axis) for axis in np.argsort(order))
