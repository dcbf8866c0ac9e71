"""The same steps in PyTorch, by Opacus and TorchJD; needs the `bench` extra.

They are compared with a plain step in PyTorch, of a model with the same parameters. There are twins
of the MLP, of the CNN and of the published language model. Neither library knows ties between
layers, so that the last one has an output layer of its own.
"""

import gc
import os
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # read on import: no chatter of the profiler

import torch
import torchjd.autogram
from jaxtyping import PyTree
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

from experiments.jobs.benchmark import torch_twins
from experiments.jobs.benchmark.cases import Case
from experiments.jobs.benchmark.costs import (
    Effort,
    Known,
    Result,
    relative_error,
    time_calls,
    uniqueness_error,
)
from experiments.jobs.benchmark.methods import L2_NORM_CLIP, LEARNING_RATE, RELATIVE_RIDGE
from experiments.jobs.benchmark.torch_llama import llama
from gujax import uniqueness

TORCH_PLAIN, AUTOGRAM = "torch plain step", "TorchJD autogram"
GRAD_SAMPLE, GHOST = "Opacus grad_sample", "Opacus ghost"


def has_twin(case: Case) -> bool:
    """Whether there is a PyTorch model for this case."""
    return case.family in ("mlp", "cnn", "smollm2")


def measure_torch(case: Case, effort: Effort, known: Known) -> list[Result]:
    """Runs a plain step and the methods of Opacus and TorchJD on a case, side by side.

    Relative times are over PyTorch's own plain step. Memory is the peak of PyTorch's allocator
    above what it held before the step.
    """
    kinds = {AUTOGRAM: _AutogramCall, GRAD_SAMPLE: _GradSampleCall, GHOST: _GhostCall}
    # Gradients of all examples, and as much again while they are clipped.
    needed = 2 * case.batch_size * case.num_parameters * 4 / 2**20
    results: dict[str, Result] = {}
    for name, kind in kinds.items():
        if name == GRAD_SAMPLE and needed > effort.memory_mib:
            results[name] = Result(name, memory_mib=needed, skipped="MiB or more")
            continue
        with warnings.catch_warnings():
            # Opacus warns of hooks on inputs that need no gradient, and of its random generator.
            warnings.simplefilter("ignore")
            # One at a time beside the plain step: models and what is kept of them add up.
            calls: dict[str, _Call] = {TORCH_PLAIN: _Call(case), name: kind(case)}
            timed = time_calls(calls, effort, TORCH_PLAIN)
        for of, call in calls.items():
            results.setdefault(of, _compared(case, call, timed[of], known))
        del calls, call
        gc.collect()  # hooks refer to their models and these to their hooks
    return [results[name] for name in (TORCH_PLAIN, *kinds)]


def _compared(case: Case, call: "_Call", result: Result, known: Known) -> Result:
    """The result with its differences from what is known."""
    # Untied layers have other Gram matrices and norms: what is clipped to them is another update.
    untied = case.config is not None
    reference = known.updates.get(call.released)
    if reference is not None and not (untied and call.released != "mean"):
        result = result._replace(update_error=relative_error(call.update, reference))
    if call.gram is None or untied:
        return result
    gnq = uniqueness(call.gram, relative_ridge=RELATIVE_RIDGE)
    return result._replace(uniqueness_error=uniqueness_error(gnq, known.uniqueness))


class _Call:
    """A plain step on a case's data; the first adds no noise, the others leave the parameters."""

    released = "mean"

    def __init__(self, case: Case):
        self.module, self._params_now = _twin(case)
        self.x, self.y = _batch(case)
        self.settings: Any = {
            "noise_multiplier": 0.0,
            "max_grad_norm": L2_NORM_CLIP,
            "expected_batch_size": case.batch_size,
        }
        self.sgd = torch.optim.SGD(self.module.parameters(), lr=LEARNING_RATE)
        self.strict = case.config is None  # refuses buffers, such as rotary frequencies
        # What Opacus wraps.
        self.model: Any = self.module
        self.loss: Any = torch.nn.CrossEntropyLoss()
        self.optimizer: Any = self.sgd
        self._params = case.params
        self.update: PyTree = None
        self.gram: np.ndarray | None = None

    def __call__(self) -> None:
        self._step()
        if self.update is None:
            self.update = jax.tree.map(
                lambda before, after: (np.asarray(before) - after) / LEARNING_RATE,
                self._params,
                self._params_now(),
            )
            self.sgd.param_groups[0]["lr"] = 0.0
            self.optimizer.noise_multiplier = 1.0  # SGD itself does not look at it

    def _step(self) -> None:
        self.optimizer.zero_grad()
        self._backward(self.model(self.x).flatten(0, -2), self.y.flatten())
        self.optimizer.step()

    def _backward(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self.loss(logits, labels).backward()

    @property
    def memory_mib(self) -> float:
        """Most memory that a step holds at a time, beyond what is held before it."""
        self.sgd.zero_grad()
        activities = [torch.profiler.ProfilerActivity.CPU]
        with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
            self._step()
        events = profile.profiler.kineto_results.events()
        changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
        held = np.cumsum([change for _, change in sorted(changes, key=lambda c: c[0])])
        return float(held.max(initial=0)) / 2**20


class _AutogramCall(_Call):
    """The Gram matrix of all examples' gradients, then their mean."""

    def __init__(self, case: Case):
        super().__init__(case)
        self.engine = torchjd.autogram.Engine(self.module, batch_dim=0)

    def _backward(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        losses = each.unflatten(0, (len(self.y), -1)).mean(1)
        gram = self.engine.compute_gramian(losses)
        if self.update is None:  # of the parameters that ours start from, too
            self.gram = np.asarray(gram)
        losses.backward(torch.full_like(losses, 1 / len(losses)))


class _GradSampleCall(_Call):
    released = "clipped mean"

    def __init__(self, case: Case):
        super().__init__(case)
        self.model = GradSampleModule(self.module, strict=self.strict)
        self.optimizer = DPOptimizer(self.sgd, **self.settings)


class _GhostCall(_Call):
    released = "clipped mean"

    def __init__(self, case: Case):
        super().__init__(case)
        self.model = GradSampleModuleFastGradientClipping(
            self.module, max_grad_norm=L2_NORM_CLIP, strict=self.strict
        )
        self.optimizer = DPOptimizerFastGradientClipping(self.sgd, **self.settings)
        self.loss = DPLossFastGradientClipping(self.model, self.optimizer, self.loss)

    def _backward(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        shape = self.y.shape if self.y.ndim > 1 else None
        self.loss(logits, labels, shape=shape).backward()


def _batch(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """What the model is given, and the labels."""
    if case.config is not None:
        tokens = torch.tensor(np.asarray(case.batch)).long()
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    x, y = map(np.asarray, case.batch)
    moved = torch.tensor(np.moveaxis(x, -1, 1))
    # Into fresh memory: with one channel, moved axes count as channels-last, all activations
    # follow, and of those Opacus takes wrong gradients without a word.
    return torch.empty(moved.shape).copy_(moved), torch.tensor(y).long()


def _twin(case: Case) -> tuple[torch.nn.Module, Callable[[], PyTree]]:
    """A PyTorch model with the parameters of the case, and what gives them as ours."""
    if case.config is not None:
        return llama(case.params, case.config)
    module, twin = _layers(case)
    return module, lambda: jax.tree.map(torch_twins.as_ours, twin)


def _layers(case: Case) -> torch_twins.Twinned:
    params = case.params
    layers: list[torch.nn.Module] = []
    if case.family == "mlp":
        twins: dict[str, Any] = {"layers": {}}
        for index, ours in params["layers"].items():
            layer, twins["layers"][index] = torch_twins.linear(ours)
            layers += [layer, torch.nn.ReLU()]
        return torch.nn.Sequential(*layers[:-1]), twins
    twins = {"convolutions": {}, "norms": {}}
    for index, ours in params["convolutions"].items():
        convolution, twins["convolutions"][index] = torch_twins.convolution(ours, padding="same")
        norm, twins["norms"][index] = torch_twins.group_norm(params["norms"][index])
        layers += [convolution, norm, torch.nn.ReLU(), torch.nn.AvgPool2d(2)]
    head, twins["head"] = torch_twins.linear(params["head"])
    return torch.nn.Sequential(*layers, torch_twins.ChannelsLast(), head), twins
