"""What the benchmark does: every method on every model, then growth with one size at a time."""

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax

from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.benchmark.cases import Case, Family, chosen_cases
from experiments.jobs.benchmark.costs import Effort, Result, measure_case
from experiments.jobs.benchmark.growth import Curve, Sweep, measure_growth, sweeps
from experiments.jobs.benchmark.options import Options

_EVERYWHERE: tuple[Family, ...] = ("mlp", "cnn", "resnet", "gpt")
_CPU_MEMORY_GIB = 3.0


class Plan(NamedTuple):
    """What is measured: what builds the cases, and the sizes with which growth is measured."""

    options: Options
    effort: Effort
    builders: Sequence[Callable[[], Case]]
    sweeps: Sequence[Sweep]
    num_steps: int


class Measured(NamedTuple):
    """Cases with the results of every method, and sweeps with their curves."""

    cases: list[tuple[Case, list[Result]]]
    growth: list[tuple[Sweep, list[Curve]]]


def prepare(options: Options) -> Plan:
    """Chooses what is measured."""
    families = options.models
    if families is None:
        on_gpu = jax.default_backend() == "gpu"
        families = (*_EVERYWHERE, "gpt2") if on_gpu else _EVERYWHERE
    cases = chosen_cases(families, options.smoke)
    chosen = sweeps(options.smoke) if options.growth else []
    return Plan(options, effort(options), cases, chosen, len(cases) + len(chosen))


def effort(options: Options) -> Effort:
    """Limits of time and memory."""
    gib = options.memory_gib
    if gib is None:
        known = jax.devices()[0].memory_stats() or {}
        gib = known["bytes_limit"] / 2**30 if "bytes_limit" in known else _CPU_MEMORY_GIB
    return Effort(options.seconds, options.rounds, 1024 * gib)


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Measured:
    """Measures all cases, then all sweeps."""
    directory.write_json("device.json", {"device": jax.devices()[0].device_kind})
    measured = Measured([], [])
    for build in plan.builders:
        case = build()
        found = steps.result(case.label, partial(_measure, case, plan.effort))
        measured.cases.append((case, found))
    for sweep in plan.sweeps:
        curves = steps.result(
            f"growth with the {sweep.axis}", partial(measure_growth, sweep, plan.effort)
        )
        measured.growth.append((sweep, curves))
    return measured


def _measure(case: Case, effort: Effort) -> list[Result]:
    results, known = measure_case(case, effort)
    if all(map(importlib.util.find_spec, ("torch", "opacus", "torchjd", "transformers"))):
        from experiments.jobs.benchmark import torch_calls

        if torch_calls.has_twin(case):
            results += torch_calls.measure_torch(case, effort, known)
    jax.clear_caches()  # compiled programs would add up over the models
    return results
