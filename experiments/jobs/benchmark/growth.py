"""How the cost of a step grows with the batch, the sequence, the width and the depth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from scipy import stats

import gujax
from experiments.framework.timing import Quartiles, interleave, quartiles
from experiments.jobs.benchmark.cases import Case, gpt_case, mlp_case
from experiments.jobs.benchmark.costs import Call, Effort, operations
from experiments.jobs.benchmark.methods import AUDIT, METHODS, PLAIN, Method

ADDED = "added by the audit"


@dataclass(frozen=True)
class Sweep:
    """One size that is varied while the others stay, and what builds the case of each."""

    axis: str
    model: str
    sizes: tuple[int, ...]
    make: Callable[[int], Case]


class Exponent(NamedTuple):
    """Slope of log cost over log size: predicted, and measured with its 95 % t-interval."""

    predicted: float
    measured: float | None
    low: float | None
    high: float | None


class Curve(NamedTuple):
    """Cost of one thing over the sizes of a sweep: measured times, and predicted operations."""

    name: str
    milliseconds: list[Quartiles]
    operations: list[float]
    exponent: Exponent


def sweeps(smoke: bool) -> list[Sweep]:
    """The sweeps of the benchmark; with `smoke`, tiny ones."""
    if smoke:
        return [
            Sweep("batch size B", "MLP 10-8-4", (4, 8, 16), lambda n: mlp_case(n, 10, (8,), 4)),
            Sweep("width", "MLP", (8, 16, 32), lambda n: mlp_case(4, 10, (n,), 4)),
        ]
    gpt = partial(gpt_case, vocabulary=1024, heads=4)
    return [
        Sweep(
            "batch size B",
            "MLP 784-1024-1024-10",
            (32, 64, 128, 256, 512),
            lambda n: mlp_case(n, 784, (1024, 1024)),
        ),
        Sweep(
            "width",
            "MLP, 2 hidden layers, B = 128",
            (512, 1024, 1536, 2048),
            lambda n: mlp_case(128, 784, (n, n)),
        ),
        Sweep(
            "depth",
            "GPT, width 128, T = 64, B = 16",
            (1, 2, 4, 8),
            lambda n: gpt(16, context=64, width=128, layers=n),
        ),
        Sweep(
            "sequence length T",
            "GPT, 2 layers, width 128, B = 8",
            (32, 64, 128, 256),
            lambda n: gpt(8, context=n, width=128, layers=2),
        ),
    ]


def measure_growth(sweep: Sweep, effort: Effort) -> list[Curve]:
    """Curves of the plain and the audited step and of their difference, timed side by side."""
    methods = {method.name: method for method in METHODS if method.name in (PLAIN, AUDIT)}
    cases = [sweep.make(size) for size in sweep.sizes]
    calls = {
        f"{name} {size}": Call(case, method)
        for size, case in zip(sweep.sizes, cases)
        for name, method in methods.items()
    }
    samples = interleave(calls, effort.seconds, effort.rounds)
    seconds = {name: [samples[f"{name} {size}"] for size in sweep.sizes] for name in methods}
    seconds[ADDED] = [
        [audited - plain for audited, plain in zip(*both)]
        for both in zip(seconds[AUDIT], seconds[PLAIN])
    ]
    step = [_step_operations(case, methods[PLAIN]) for case in cases]
    gram = [_gram_operations(case) for case in cases]
    counts = {PLAIN: step, AUDIT: [a + b for a, b in zip(step, gram)], ADDED: gram}
    curves = []
    for name, of_sizes in seconds.items():
        spread = [quartiles([1e3 * second for second in of_size]) for of_size in of_sizes]
        exponent = fit(sweep.sizes, [one.median for one in spread], counts[name])
        curves.append(Curve(name, spread, counts[name], exponent))
    return curves


def fit(sizes: Sequence[int], times: Sequence[float], operations: Sequence[float]) -> Exponent:
    """Least-squares slopes of log operations and log time over log size, of at least three."""
    x = np.log(sizes)
    predicted = float(stats.linregress(x, np.log(operations)).slope)
    if min(times) <= 0:
        return Exponent(predicted, None, None, None)
    line = stats.linregress(x, np.log(times))
    margin = stats.t.ppf(0.975, len(sizes) - 2) * line.stderr
    return Exponent(
        predicted, float(line.slope), float(line.slope - margin), float(line.slope + margin)
    )


def _step_operations(case: Case, method: Method) -> float:
    state, step = method.make(case)
    return operations(step, case.params, state, case.batch, 0.0)


def _gram_operations(case: Case) -> float:
    """Operations of the Gram matrix, as `gujax.explain` predicts them."""
    example = jax.tree.map(lambda leaf: leaf[0], case.batch)
    told = gujax.explain(case.loss_fn, case.params, example, batch_size=case.batch_size)
    return float(sum(parameter.gram_flops for parameter in told.parameters))
