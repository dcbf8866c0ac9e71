"""What `gujax.assess` costs beside the trainings that it saves, and how exact its sketches are."""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Bool, PyTree
from scipy import stats
from threadpoolctl import threadpool_limits

import gujax
from experiments.framework.errors import check_option
from experiments.framework.progress import Steps
from experiments.framework.results import Entry, entry
from experiments.framework.run_directory import RunDirectory
from experiments.jobs.benchmark.options import Options
from experiments.membership import defenses
from experiments.tasks.recipe import Recipe
from experiments.tasks.task import ModelName, Task, load_task
from experiments.tasks.training import train_models
from gujax import training
from gujax.assessment import signal_gram, signal_sketches
from gujax.data import Split
from gujax.prediction import generalization_gap, gram_spectrum, ridge_for_gap, sketch_spectrum

Found = TypeVar("Found")

BLOCK = 64  # examples whose gradients are in memory at a time
SUBSET = 2000  # examples of which the exact Gram matrix is formed


class Case(NamedTuple):
    """A model whose publisher asks.

    Attributes:
        train_size: Members; None for the whole training split. The test split is held out.
        epochs: Of each of the two trainings.
    """

    dataset: str
    model: ModelName
    hidden: tuple[int, ...]
    train_size: int | None
    epochs: int


SMALL = Case("mnist10k", "mlp", (128, 64), None, 20)
LARGE = Case("cifar10_jpeg", "convnet", (8, 16), None, 2)
_SMOKE = SMALL._replace(dataset="digits", hidden=(8,), train_size=300, epochs=30)


class Plan(NamedTuple):
    """Cases with their tasks."""

    options: Options
    cases: list[tuple[Case, Task]]
    num_steps: int


class Taken(NamedTuple):
    """Seconds of the clock and of the processors."""

    clock: float
    processor: float


class Measured(NamedTuple):
    """What was measured of one case.

    Attributes:
        trainings: Of two models, compiling included.
        first: Of an assessment with a rerun, compiling included.
        again: Of the same with everything compiled.
        memory_gib: Most that the process had held by then.
        agreement: Spearman of the self-influence from sketches with the exact one; None without a
            calibration.
    """

    case: Case
    members: int
    held_out: int
    trainings: Taken
    first: Taken
    again: Taken
    memory_gib: float
    assessment: gujax.Assessment
    agreement: float | None


def prepare(options: Options) -> Plan:
    """Loads the data, the largest last: memory is the most that was held."""
    by_model = {"mlp": SMALL, "cnn": LARGE}
    asked = [case for name, case in by_model.items() if name in (options.models or by_model)]
    check_option(bool(asked), "--assessment measures the --models mlp and cnn alone")
    cases = [_SMOKE] if options.smoke else asked
    tasks = [
        load_task(case.dataset, case.model, case.hidden, case.train_size, case.hidden)
        for case in cases
    ]
    return Plan(options, list(zip(cases, tasks)), len(cases))


def measure(plan: Plan, directory: RunDirectory, steps: Steps) -> list[Measured]:
    """Trains a model and a rerun, and assesses."""
    directory.write_json("device.json", {"device": jax.devices()[0].device_kind})
    found = []
    for case, task in plan.cases:
        name = f"{case.dataset}, {task.model_name}"
        # Threads of BLAS that wait for work would count as work.
        with steps.step(name), threadpool_limits(1, user_api="blas"):
            found.append(_measured(case, task))
        jax.clear_caches()
    return found


def _measured(case: Case, task: Task) -> Measured:
    inside, outside = ((part.x, part.y) for part in (task.dataset.train, task.dataset.test))
    count = len(inside[1]) + len(outside[1])
    members = np.arange(count) < len(inside[1])
    again = np.random.default_rng(0).permutation(count) < len(inside[1])
    params, trainings = _timed(partial(_train_both, case, task, (members, again)))
    apply = partial(training.predict, task.model.apply)

    def assess() -> gujax.Assessment:
        rerun = params[1], again
        made = gujax.assess(apply, params[0], inside, outside, rerun=rerun, microbatch_size=BLOCK)
        _ = made.auc, made.tpr(0.01)
        return made

    made, first = _timed(assess)
    gib = _peak_gib()
    _, second = _timed(assess)
    agreement = None
    if made.calibrated:
        agreement = _agreement(apply, params[0], _pool(task), members, made)
    counts = len(inside[1]), len(outside[1])
    return Measured(case, *counts, trainings, first, second, gib, made, agreement)


def _pool(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Members, then held-out examples; made where it is used, as it is a copy."""
    train, test = task.dataset.train, task.dataset.test
    return np.concatenate([train.x, test.x]), np.concatenate([train.y, test.y])


def _train_both(case: Case, task: Task, masks: Any) -> list[PyTree]:
    """Parameters of the model and of its rerun, trained one after the other."""
    widened = replace(task, dataset=replace(task.dataset, train=Split.from_arrays(*_pool(task))))
    recipe = Recipe("adam", 2e-3, False, BLOCK, case.epochs)
    ready = defenses.prepare(
        defenses.parse_defense("sgd"), recipe, masks[0][None], 0.1, measure=False
    )
    found = []
    for seed, mask in enumerate(masks):
        keys = jax.random.split(jax.random.key(seed), 1)
        result = train_models(widened, recipe, ready.make_optimizer, mask[None], keys)
        found.append(jax.tree.map(lambda leaf: np.asarray(leaf[0]), result.params))
    return found


def _agreement(
    apply: Callable,
    params: PyTree,
    pool: Any,
    members: Bool[np.ndarray, " pool"],
    made: gujax.Assessment,
) -> float:
    """Spearman of self-influences from sketches and from exact gradients, on a subset.

    Each at the ridge by which the subset explains the gap that was seen, in sketches of the size
    that the assessment chose.
    """
    chosen = np.sort(np.random.default_rng(1).permutation(len(members))[:SUBSET])
    some = jax.tree.map(lambda leaf: leaf[chosen], pool)
    inside, phi = members[chosen], made.signal[chosen]
    size = made.sketch_dimension or SUBSET // 4
    block = min(BLOCK, len(inside))
    sketches = signal_sketches(apply, params, some, block, size, 0, None)
    spectra = (
        gram_spectrum(signal_gram(apply, params, some, block, None), phi, inside),
        sketch_spectrum(sketches, phi, inside),
    )
    gap = generalization_gap(phi, inside)
    influences = [
        spectrum.self_influence(ridge_for_gap(spectrum, gap, made.gap.mean)) for spectrum in spectra
    ]
    return float(stats.spearmanr(*influences).statistic)


def _timed(call: Callable[[], Found]) -> tuple[Found, Taken]:
    clock, processor = time.perf_counter(), time.process_time()
    found = call()
    return found, Taken(time.perf_counter() - clock, time.process_time() - processor)


def _peak_gib() -> float:
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / 2 ** (30 if sys.platform == "darwin" else 20)


def analyze(plan: Plan, measured: list[Measured]) -> Iterator[Entry]:
    """Everything that the report shows, by case and by what took time."""
    for one in measured:
        place = {"case": label(one.case)}
        yield entry("members", one.members, **place)
        yield entry("held_out", one.held_out, **place)
        for name in ("trainings", "first", "again"):
            taken: Taken = getattr(one, name)
            yield entry("clock", taken.clock, "s", **place, work=name)
            yield entry("processor", taken.processor, "s", **place, work=name)
        yield entry("share", one.first.processor / one.trainings.processor, **place)
        yield entry("memory", one.memory_gib, "GiB", **place)
        yield entry("sketch", one.assessment.sketch_dimension, **place)
        yield entry("dimension", one.assessment.fitted.effective_dimension, **place)
        yield entry("predicted_auc", one.assessment.auc.mean, **place)
        yield entry("agreement", one.agreement, **place)


def label(case: Case) -> str:
    """Data set and model."""
    return f"{case.dataset}, {case.model}"
