"""An iteration of Inverting Gradients beside PyTorch's, and many victims at once."""

import importlib.util
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.framework.errors import check_option
from experiments.framework.run_directory import RunDirectory
from experiments.framework.timing import Quartiles, interleave, summarize_times
from experiments.jobs.benchmark.measure import Effort, relative_error
from experiments.report import html
from experiments.report.formats import significant
from experiments.report.tables import Table
from gujax import models, training
from gujax.attacks import inversion
from gujax.attacks.inversion import search
from gujax.training.loss import GradientFn

OURS, TORCH = "gujax", "PyTorch"
SURROGATE, AT_ONCE, ONE_BY_ONE = "surrogate", "at once", "one by one"
VICTIMS = 16
TOLERANCE = 1e-4

_SHAPE, _CLASSES = (32, 32, 3), 10
_RATE, _SMOOTHING, _LIMITS = 0.2, 3e-2, (-2.0, 2.0)
_ITERATIONS = 20  # of a call, so that starting it does not count
_SPEEDUP = 2.0


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        times: Milliseconds of an iteration, and time over that of ours on one victim in the same
            round, by name; for `VICTIMS` victims an iteration of all of them.
        samples: Number of samples of each.
        errors: Relative difference between PyTorch and us, by what is compared.
    """

    times: dict[str, tuple[Quartiles, Quartiles]]
    samples: dict[str, int]
    errors: dict[str, float]

    @property
    def speedup(self) -> float:
        """Time of PyTorch's iteration over that of ours, median over rounds."""
        return self.times[TORCH][1].median

    @property
    def batching(self) -> float:
        """Time of all victims at once over that of one by one."""
        return self.times[AT_ONCE][0].median / self.times[ONE_BY_ONE][0].median

    @property
    def wrong(self) -> list[str]:
        """One sentence for every difference that is too large."""
        return [
            f"PyTorch and gujax disagree: the {name} differs by {error:.1e}"
            for name, error in self.errors.items()
            if error > TOLERANCE
        ]


def check_installed() -> None:
    """Raises `UserError` where PyTorch is missing."""
    check_option(
        importlib.util.find_spec("torch") is not None,
        "--inversion compares with PyTorch, which is not installed; install the extra 'bench'",
    )


def measure_inversion(effort: Effort) -> Measured:
    """Times the same iteration side by side in one process, and checks that it is the same.

    Args:
        effort: Limits of time.
    """
    from experiments.jobs.benchmark.torch_inversion import TorchInversion

    model = models.lenet(_SHAPE, _CLASSES, "relu", by_patches=True)
    params = jax.jit(model.init)(jax.random.key(0))
    loss_fn = training.cross_entropy_loss(model)
    gradient_fn = inversion.batch_gradient(loss_fn)
    attack = inversion.inverting_gradients(
        10**6, limits=_LIMITS, learning_rate=_RATE, total_variation_weight=_SMOOTHING
    )
    truth = jax.random.normal(jax.random.key(1), (VICTIMS, 1, *_SHAPE))
    labels = jnp.arange(VICTIMS)[:, None] % _CLASSES
    updates = jax.jit(jax.vmap(gradient_fn, (None, 0)))(params, (truth, labels))
    keys = jax.random.split(jax.random.key(2), VICTIMS)
    like = jax.ShapeDtypeStruct((1, *_SHAPE), jnp.float32)

    def searching(count: int, gradient_fn: GradientFn = gradient_fn):
        """A call that takes the next iterations of the first ``count`` victims."""
        some = jax.tree.map(lambda x: x[:count], (updates, labels))
        state = [search.start(attack, keys[:count], like, None)]

        def call() -> None:
            state[0] = search.advance(attack, gradient_fn, _ITERATIONS, state[0], params, *some)
            jax.block_until_ready(state[0])

        return call

    start = search.start(attack, keys[:1], like, None).candidate
    x = start.inputs[0, 0, 0]
    torch_search = TorchInversion(
        params,
        np.asarray(truth[0, 0]),
        int(labels[0, 0]),
        np.asarray(x),
        _RATE,
        _SMOOTHING,
        _LIMITS,
    )
    first = jax.tree.map(lambda leaf: leaf[0], updates)
    objective = _objective(attack, gradient_fn, params, first, labels[0])
    errors = {
        "gradient that is shared": relative_error(torch_search.shared(params), first),
        "gradient of the objective": relative_error(
            torch_search.gradient_of_objective(), jax.jit(jax.grad(objective))(x[None])[0]
        ),
    }
    one = searching(1)
    calls = {
        OURS: one,
        TORCH: lambda: torch_search.run(_ITERATIONS),
        SURROGATE: searching(1, inversion.batch_gradient(inversion.surrogate_relu(loss_fn))),
        AT_ONCE: searching(VICTIMS),
        ONE_BY_ONE: lambda: [one() for _ in range(VICTIMS)],
    }
    for call in calls.values():
        call()  # compiled before the clock runs
    samples = interleave(calls, effort.seconds, effort.rounds)
    per_iteration = {name: [s / _ITERATIONS for s in taken] for name, taken in samples.items()}
    return Measured(
        summarize_times(per_iteration, OURS),
        {name: len(taken) for name, taken in samples.items()},
        errors,
    )


def write(directory: RunDirectory, measured: Measured) -> list[Table]:
    """Writes `summary.json` and `report.html`; returns the tables for the terminal.

    Args:
        directory: The run directory.
        measured: What was measured.
    """
    tables = [_times_table(measured), _targets_table(measured)]
    directory.write_json("summary.json", _summary(measured))
    agreement = "; ".join(f"{name}: {error:.1e}" for name, error in measured.errors.items())
    sections = [
        html.section("Time", *map(html.table, tables)),
        html.section(
            "Do they agree?",
            html.paragraph(f"Relative difference between PyTorch and gujax: {agreement}."),
            *(html.paragraph(sentence) for sentence in measured.wrong),
        ),
    ]
    lead = (
        "ReLU LeNet on 32 × 32 × 3, batch size one, float32: forward pass, double backward pass, "
        "total variation, sign, Adam, box; side by side in one process."
    )
    page = html.page("What an iteration of Inverting Gradients costs", lead, sections)
    directory.file("report.html").write_text(page)
    return tables


def _objective(attack, gradient_fn, params, observed, labels):
    matching = search.matching_loss(attack, gradient_fn, params, observed, labels)
    assert attack.regularizer is not None
    regularizer = attack.regularizer
    return lambda x: matching(search.Candidate(x, None)) + regularizer(x)


def _times_table(measured: Measured) -> Table:
    names = {
        OURS: "gujax, 1 victim",
        TORCH: "PyTorch, 1 victim",
        SURROGATE: "gujax, 1 victim, surrogate of ReLU",
        AT_ONCE: f"gujax, {VICTIMS} victims at once",
        ONE_BY_ONE: f"gujax, {VICTIMS} victims one by one",
    }
    rows = [
        [
            name,
            *(significant(value) for value in measured.times[key][0]),
            significant(measured.times[key][1].median),
            str(measured.samples[key]),
        ]
        for key, name in names.items()
    ]
    return Table(
        "Time of one iteration",
        ("what", "ms", "lower quartile", "upper quartile", "over gujax, 1 victim", "samples"),
        rows,
        "Medians over rounds in random order; ratios are of the same round. The surrogate is what "
        "the jobs search with: `gujax.attacks.inversion.surrogate_relu`.",
    )


def _targets_table(measured: Measured) -> Table:
    def row(what: str, limit: str, value: float, met: bool) -> list[str]:
        return [what, limit, f"{value:.2f}", "yes" if met else "no"]

    rows = [
        row(
            "PyTorch over gujax, one victim",
            f"at least {_SPEEDUP:g}",
            measured.speedup,
            measured.speedup >= _SPEEDUP,
        )
    ]
    limit = 0.2 if jax.default_backend() == "gpu" else 1.0
    rows.append(
        row(
            f"{VICTIMS} victims at once over one by one",
            f"at most {limit:g}",
            measured.batching,
            measured.batching <= limit,
        )
    )
    return Table("Targets", ("quantity", "limit", "measured", "met"), rows)


def _summary(measured: Measured) -> dict[str, Any]:
    return {
        "iterations": {
            name: {
                "milliseconds": milliseconds._asdict(),
                "relative": relative._asdict(),
                "samples": measured.samples[name],
            }
            for name, (milliseconds, relative) in measured.times.items()
        },
        "speedup": measured.speedup,
        "at_once_over_one_by_one": measured.batching,
        "errors": measured.errors,
    }
