"""Job `benchmark`: what a step costs in time and memory, beside plain steps and other libraries."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
from rich.console import Console

from experiments.framework.errors import check_option
from experiments.framework.job import run_directory
from experiments.framework.progress import progress
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.benchmark import inversion, report
from experiments.jobs.benchmark.cases import Case, Family, chosen_cases
from experiments.jobs.benchmark.growth import Curve, Sweep, measure_growth, sweeps
from experiments.jobs.benchmark.measure import Effort, Result, disagreements, measure_case
from experiments.report.tables import Table, to_terminal

DISAGREEMENT = 3

# Sums of float32 in another order differ by about 1e-6; by 2e-3 where the input of a ReLU is so
# near 0 that its sign is rounding (seen between JAX and PyTorch); what is wrong, by far more.
_TOLERANCE = 1e-2
_CPU_MEMORY_GIB = 3.0


@dataclass(frozen=True)
class Options:
    """Measure what steps cost, side by side in one process.

    The plain step, the steps of gujax, vmap(grad), jax_privacy's clipped_grad, optax's
    differentially_private_aggregate and, where the `bench` extra is installed, Opacus. Every method
    must also compute the same: the exit code is 3 if one does not.

    Attributes:
        models: Which models; default: all, "gpt2" (GPT-2-small shapes) only on a GPU.
        inversion: Measure an iteration of Inverting Gradients instead, beside PyTorch; needs the
            `bench` extra.
        growth: Also measure how cost grows with batch size, sequence length, width and depth.
        seconds: Time for each method and model; a method whose step takes longer is run once.
        rounds: Largest number of samples of each method.
        memory_gib: Skip what needs more; default: 3, on a GPU what it has.
        smoke: Tiny models, to see that all of it works; the times mean nothing.
        out: Run directory; default: runs/benchmark-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    models: tuple[Family, ...] | None = None
    inversion: bool = False
    growth: bool = True
    seconds: float = 3.0
    rounds: int = 15
    memory_gib: float | None = None
    smoke: bool = False
    out: Path | None = None
    overwrite: bool = False


def run(options: Options) -> int:
    """Runs the benchmark; returns 0, or 3 if the methods disagree."""
    check_option(options.seconds > 0, f"--seconds {options.seconds} must be positive")
    check_option(options.rounds >= 1, f"--rounds {options.rounds} must be at least 1")
    check_option(
        options.memory_gib is None or options.memory_gib > 0,
        f"--memory-gib {options.memory_gib} must be positive",
    )
    console = Console()
    effort = Effort(options.seconds, options.rounds, 1024 * _memory_gib(options))
    if options.inversion:
        return _run_inversion(options, effort, console)
    with run_directory("benchmark", options) as directory:
        builders = chosen_cases(_families(options), options.smoke)
        chosen = sweeps(options.smoke) if options.growth else []
        measured: dict[str, tuple[Case, list[Result]]] = {}
        curves: list[tuple[Sweep, list[Curve]]] = []
        with progress(console, len(builders) + len(chosen) + 1) as steps:
            for build in builders:
                case = build()
                with steps.step(case.label):
                    measured[case.label] = case, _measure(case, effort)
            for sweep in chosen:
                with steps.step(f"growth with the {sweep.axis}"):
                    curves.append((sweep, measure_growth(sweep, effort)))
            with steps.step("tables and figures"):
                wrong = disagreements(
                    {label: results for label, (_, results) in measured.items()}, _TOLERANCE
                )
                tables = report.write(directory, options, effort, measured, curves, wrong)
    return _conclude(console, directory, tables, wrong)


def _conclude(
    console: Console, directory: RunDirectory, tables: Sequence[Table], wrong: Sequence[str]
) -> int:
    """Shows what was written; returns the exit code."""
    for table in tables:
        console.print(to_terminal(table))
    for sentence in wrong:
        console.print(sentence, style="red", markup=False, soft_wrap=True)
    console.print(f"report: {directory.path / 'report.html'}", soft_wrap=True)
    return DISAGREEMENT if wrong else 0


def _run_inversion(options: Options, effort: Effort, console: Console) -> int:
    inversion.check_installed()
    with run_directory("benchmark", options) as directory, progress(console, 1) as steps:
        with steps.step("Inverting Gradients"):
            measured = inversion.measure_inversion(effort)
        tables = inversion.write(directory, measured)
    return _conclude(console, directory, tables, measured.wrong)


def _measure(case: Case, effort: Effort) -> list[Result]:
    results, references = measure_case(case, effort)
    if all(importlib.util.find_spec(name) for name in ("torch", "opacus")):
        from experiments.jobs.benchmark import opacus_calls

        if opacus_calls.has_twin(case):
            results += opacus_calls.measure_opacus(case, effort, references)
    jax.clear_caches()  # compiled programs would add up over the models
    return results


def _families(options: Options) -> tuple[Family, ...]:
    if options.models is not None:
        return options.models
    everywhere: tuple[Family, ...] = ("mlp", "cnn", "resnet", "gpt")
    return (*everywhere, "gpt2") if jax.default_backend() == "gpu" else everywhere


def _memory_gib(options: Options) -> float:
    if options.memory_gib is not None:
        return options.memory_gib
    stats = jax.devices()[0].memory_stats() or {}
    return stats["bytes_limit"] / 2**30 if "bytes_limit" in stats else _CPU_MEMORY_GIB
