"""The same steps in PyTorch, by Opacus; needs the `bench` extra.

Opacus is compared with a plain step in PyTorch, of a model with the same parameters. There are
twins of the MLP and of the CNN only.
"""

import os
import warnings
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

from experiments.jobs.benchmark import torch_twins
from experiments.jobs.benchmark.cases import Case
from experiments.jobs.benchmark.costs import Effort, Result, relative_error, time_calls
from experiments.jobs.benchmark.methods import L2_NORM_CLIP, LEARNING_RATE

TORCH_PLAIN, GRAD_SAMPLE, GHOST = "torch plain step", "Opacus grad_sample", "Opacus ghost"


def has_twin(case: Case) -> bool:
    """Whether there is a PyTorch model for this case."""
    return case.family in ("mlp", "cnn")


def measure_opacus(case: Case, effort: Effort, references: dict[str, PyTree]) -> list[Result]:
    """Runs a plain step and both of Opacus' methods on a case, side by side.

    Relative times are over PyTorch's own plain step. Memory is the peak of PyTorch's allocator
    above what it held before the step. References are noiseless updates, by what is released.
    """
    kinds = {TORCH_PLAIN: _Call, GRAD_SAMPLE: _GradSampleCall, GHOST: _GhostCall}
    needed = case.batch_size * case.num_parameters * 4 / 2**20
    skipped = {}
    if needed > effort.memory_mib:
        skipped[GRAD_SAMPLE] = Result(GRAD_SAMPLE, memory_mib=needed, skipped="MiB or more")
    with warnings.catch_warnings():
        # Opacus warns of hooks on inputs that need no gradient, and of its random generator.
        warnings.simplefilter("ignore")
        calls = {name: kind(case) for name, kind in kinds.items() if name not in skipped}
        timed = time_calls(calls, effort, TORCH_PLAIN)
    results = skipped | timed
    for name, call in calls.items():
        if call.released in references:
            error = relative_error(call.update, references[call.released])
            results[name] = timed[name]._replace(update_error=error)
    return [results[name] for name in kinds]


class _Call:
    """A plain step on a case's data; the first adds no noise, the others leave the parameters."""

    released = "mean"

    def __init__(self, case: Case):
        self.module, twin = _twin(case)
        x, y = map(np.asarray, case.batch)
        moved = torch.tensor(np.moveaxis(x, -1, 1))
        # Into fresh memory: with one channel, moved axes count as channels-last, all activations
        # follow, and of those Opacus takes wrong gradients without a word.
        self.x = torch.empty(moved.shape).copy_(moved)
        self.y = torch.tensor(y).long()
        self.settings: Any = {
            "noise_multiplier": 0.0,
            "max_grad_norm": L2_NORM_CLIP,
            "expected_batch_size": case.batch_size,
        }
        self.sgd = torch.optim.SGD(self.module.parameters(), lr=LEARNING_RATE)
        # What Opacus wraps.
        self.model: Any = self.module
        self.loss: Any = torch.nn.CrossEntropyLoss()
        self.optimizer: Any = self.sgd
        self._twin, self._params = twin, case.params
        self.update: PyTree = None

    def __call__(self) -> None:
        self._step()
        if self.update is None:
            self.update = jax.tree.map(
                lambda ours, theirs: (
                    (np.asarray(ours) - torch_twins.as_ours(theirs)) / LEARNING_RATE
                ),
                self._params,
                self._twin,
            )
            self.sgd.param_groups[0]["lr"] = 0.0
            self.optimizer.noise_multiplier = 1.0  # SGD itself does not look at it

    def _step(self) -> None:
        self.optimizer.zero_grad()
        self.loss(self.model(self.x), self.y).backward()
        self.optimizer.step()

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


class _GradSampleCall(_Call):
    released = "clipped mean"

    def __init__(self, case: Case):
        super().__init__(case)
        self.model = GradSampleModule(self.module)
        self.optimizer = DPOptimizer(self.sgd, **self.settings)


class _GhostCall(_Call):
    released = "clipped mean"

    def __init__(self, case: Case):
        super().__init__(case)
        self.model = GradSampleModuleFastGradientClipping(self.module, max_grad_norm=L2_NORM_CLIP)
        self.optimizer = DPOptimizerFastGradientClipping(self.sgd, **self.settings)
        self.loss = DPLossFastGradientClipping(self.model, self.optimizer, self.loss)


def _twin(case: Case) -> torch_twins.Twinned:
    """A PyTorch model with the parameters of the case."""
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
