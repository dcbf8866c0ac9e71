"""An iteration of Inverting Gradients beside PyTorch's, and many victims at once."""

import importlib.util
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.framework.errors import check_option
from experiments.framework.progress import Steps
from experiments.framework.results import Entry, Results, entry
from experiments.framework.run_directory import RunDirectory
from experiments.framework.timing import Quartiles, interleave, summarize_times
from experiments.jobs.benchmark.analysis import DISAGREEMENT, quartile_entries
from experiments.jobs.benchmark.costs import Effort, relative_error
from experiments.jobs.benchmark.measure import effort
from experiments.jobs.benchmark.options import Options
from gujax import models, training
from gujax.attacks import inversion
from gujax.attacks.inversion import search
from gujax.training import GradientFn

OURS, TORCH = "gujax", "PyTorch"
SURROGATE, AT_ONCE, ONE_BY_ONE = "surrogate", "at once", "one by one"
VICTIMS = 16
TOLERANCE = 1e-4

_SHAPE, _CLASSES = (32, 32, 3), 10
_RATE, _SMOOTHING, _LIMITS = 0.2, 3e-2, (-2.0, 2.0)
_ITERATIONS = 20  # of a call, so that starting it does not count


class Plan(NamedTuple):
    """What is measured: the options of the job, and limits of time."""

    options: Options
    effort: Effort
    num_steps: int = 1


class Measured(NamedTuple):
    """What was measured.

    Attributes:
        times: Milliseconds of an iteration, and time over that of ours on one victim in the same
            round, by name; for `VICTIMS` victims an iteration of all of them.
        errors: Relative difference between PyTorch and us, by what is compared.
    """

    times: dict[str, tuple[Quartiles, Quartiles]]
    samples: dict[str, int]
    errors: dict[str, float]


def prepare(options: Options) -> Plan:
    """Raises `UserError` where PyTorch is missing."""
    check_option(
        importlib.util.find_spec("torch") is not None,
        "--inversion compares with PyTorch, which is not installed; install the extra 'bench'",
    )
    return Plan(options, effort(options))


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> Measured:
    """Times the same iteration side by side in one process, and checks that it is the same."""
    directory.write_json("device.json", {"device": jax.devices()[0].device_kind})
    with steps.step("Inverting Gradients"):
        return _measured(plan.effort)


def _measured(effort: Effort) -> Measured:
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
        "gradient that is shared": relative_error(torch_search.shared(), first),
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


def analyze(plan: Plan, measured: Measured) -> Iterator[Entry]:
    """Everything that the report shows, by call, by what is compared, and by target."""
    for name, (milliseconds, relative) in measured.times.items():
        yield from quartile_entries("milliseconds", milliseconds, "ms", call=name)
        yield from quartile_entries("relative", relative, call=name)
        yield entry("samples", measured.samples[name], call=name)
    yield entry("speedup", measured.times[TORCH][1].median)
    at_once, one_by_one = (measured.times[name][0].median for name in (AT_ONCE, ONE_BY_ONE))
    yield entry("at_once_over_one_by_one", at_once / one_by_one)
    for name, error in measured.errors.items():
        yield entry("error", error, compared=name)


def disagreements(results: Results) -> list[str]:
    """One sentence for every difference that is too large."""
    return [
        f"PyTorch and gujax disagree: the {name} differs by {row.get('error').mean:.1e}"
        for (name,), row in results.groups("compared")
        if not row.get("error").mean <= TOLERANCE
    ]


def exit_code(plan: Plan, results: Results) -> int:
    """0, or 3 if PyTorch and gujax disagree."""
    return DISAGREEMENT if disagreements(results) else 0


def _objective(attack, gradient_fn, params, observed, labels):
    matching = search.matching_loss(attack, gradient_fn, params, observed, labels)
    assert attack.regularizer is not None
    regularizer = attack.regularizer
    return lambda x: matching(search.Candidate(x, None)) + regularizer(x)
