"""Time, memory and results of every method on one case."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from experiments.framework.timing import Quartiles, interleave, summarize_times
from experiments.jobs.benchmark.cases import Case
from experiments.jobs.benchmark.methods import (
    CLIPPED_GRAD,
    DENSE_AUDIT,
    LEARNING_RATE,
    METHODS,
    PLAIN,
    Method,
)

# What the methods of one kind are compared with: code that is not ours.
_REFERENCES = {"mean": PLAIN, "clipped mean": CLIPPED_GRAD}


class Effort(NamedTuple):
    """How much to spend on measuring.

    Attributes:
        seconds: Time for each method and case; one that takes longer is called once.
        memory_mib: Methods that need more are skipped.
    """

    seconds: float
    rounds: int
    memory_mib: float


class Result(NamedTuple):
    """What was measured of one method on one case.

    Attributes:
        milliseconds: Time of a step; None if it was skipped.
        relative: Time over that of the plain step of the same round.
        memory_mib: Memory beside the inputs, outputs included; None where it is not known.
        skipped: If it was not run for its memory, the unit of `memory_mib`: "MiB", or "MiB or more"
            where that is a lower bound.
        update_error: ‖u − v‖ / ‖v‖ of its noiseless update u, v being the reference's; None where
            there is nothing to compare.
        uniqueness_error: Largest relative difference of its GNQ from that by `vmap(grad)`.
    """

    method: str
    milliseconds: Quartiles | None = None
    relative: Quartiles | None = None
    samples: int = 0
    memory_mib: float | None = None
    skipped: str = ""
    update_error: float | None = None
    uniqueness_error: float | None = None


class Known(NamedTuple):
    """What other code says of a case: noiseless updates by what is released, and GNQ."""

    updates: dict[str, PyTree]
    uniqueness: Float[Array, " batch"] | None


class Call:
    """A compiled step on a case's data, which returns when it is done.

    The first call adds no noise, and keeps what it computes for comparison.
    """

    def __init__(self, case: Case, method: Method):
        state, step = method.make(case)
        self._case = case
        self._arguments = (case.params, state, case.batch)
        self._noise = jnp.zeros(()), jnp.ones(())
        self._step = jax.jit(step).lower(*self._arguments, self._noise[0]).compile()
        self._first: tuple[PyTree, Any] | None = None

    def __call__(self) -> None:
        result = self._step(*self._arguments, self._noise[self._first is not None])
        jax.block_until_ready(result)
        if self._first is None:
            self._first = result

    @property
    def memory_mib(self) -> float | None:
        """Temporary memory and outputs of the program, by XLA's own analysis."""
        analysis = self._step.memory_analysis()
        if analysis is None:
            return None
        return (analysis.temp_size_in_bytes + analysis.output_size_in_bytes) / 2**20

    @property
    def update(self) -> PyTree:
        """The update that the first call made."""
        assert self._first is not None
        return jax.tree.map(lambda p, n: (p - n) / LEARNING_RATE, self._case.params, self._first[0])

    @property
    def uniqueness(self) -> Float[Array, " batch"] | None:
        """GNQ that the first call measured."""
        assert self._first is not None
        return getattr(self._first[1], "uniqueness", None)


def measure_case(
    case: Case, effort: Effort, methods: Sequence[Method] = METHODS
) -> tuple[list[Result], Known]:
    """Runs every method on a case, side by side; the plain step comes first.

    Returns:
        One result per method, and what they were held against.
    """
    results: dict[str, Result] = {}
    calls: dict[str, Call] = {}
    for method in methods:
        name, call = method.name, Call(case, method)
        needed = call.memory_mib
        # The plain step always runs: all the others are compared with it.
        if name != PLAIN and needed is not None and needed > effort.memory_mib:
            results[name] = Result(name, memory_mib=needed, skipped="MiB")
        else:
            calls[name] = call
    timed = time_calls(calls, effort, PLAIN)
    known = Known(
        {kind: calls[name].update for kind, name in _REFERENCES.items() if name in calls},
        calls[DENSE_AUDIT].uniqueness if DENSE_AUDIT in calls else None,
    )
    for method in methods:
        if method.name in calls:
            call, reference = calls[method.name], known.updates.get(method.released)
            results[method.name] = timed[method.name]._replace(
                update_error=None if reference is None else relative_error(call.update, reference),
                uniqueness_error=uniqueness_error(call.uniqueness, known.uniqueness),
            )
    return [results[method.name] for method in methods], known


def time_calls(calls: Mapping[str, Any], effort: Effort, plain: str) -> dict[str, Result]:
    """Time and memory of calls, run side by side; nothing is compared yet."""
    samples = interleave(calls, effort.seconds, effort.rounds)
    return {
        name: Result(name, *spreads, len(samples[name]), calls[name].memory_mib)
        for name, spreads in summarize_times(samples, plain).items()
    }


def operations(function: Callable, *arguments: PyTree) -> float:
    """Operations of a program, as XLA counts them before it optimizes; shapes suffice."""
    analysis = jax.jit(function).lower(*arguments).cost_analysis()
    assert isinstance(analysis, dict)
    return float(analysis["flops"])


def relative_error(update: PyTree, reference: PyTree) -> float:
    """‖u − v‖ / ‖v‖ over all parameters."""
    u, v = (np.asarray(ravel_pytree(tree)[0], float) for tree in (update, reference))
    return float(np.linalg.norm(u - v) / np.linalg.norm(v))


def uniqueness_error(gnq: Array | None, known: Array | None) -> float | None:
    """Largest relative difference; None where one is not known."""
    if gnq is None or known is None:
        return None
    return float(jnp.max(jnp.abs(gnq - known) / jnp.abs(known)))
