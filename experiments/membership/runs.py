"""Trains and attacks every defense."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray, PyTree

from experiments.framework.errors import as_user_error
from experiments.framework.progress import Steps
from experiments.membership.attacks import Outputs, query
from experiments.membership.defenses import Defense, Labels, Privacy, Training, prepare
from experiments.membership.options import MembershipOptions
from experiments.tasks.adaptation import adapted
from experiments.tasks.recipe import Recipe, RecipeBook, fit
from experiments.tasks.task import Task
from experiments.tasks.training import train_models
from gujax import training

Options = TypeVar("Options", bound=MembershipOptions)

_KEPT = 3  # models of a seed whose parameters outlive it


class Plan(NamedTuple, Generic[Options]):
    """What is trained and attacked on one data set, and how many steps of progress that takes."""

    options: Options
    task: Task
    book: RecipeBook
    num_steps: int


class SeedRun(NamedTuple):
    """M models of one defense and seed.

    Attributes:
        members: examples handed to the trainer, [M, N].
        removed: what censoring took away before training, [M, N].
        nats: accumulated disclosure of each example, [M, N]; NaN if no ledger was kept.
        mu: composed Gaussian-DP parameter, [M, N]; alike.
        appearances: number of updates that each example took part in, [M, N]; alike.
        steps: metrics per step, each [M, epochs, steps].
        kept: parameters of the first models, each leaf [K, ...], of which none is the complement of
            another: of three, or of as many as there are. None where nothing was trained.
    """

    members: Bool[np.ndarray, "models examples"]
    removed: Bool[np.ndarray, "models examples"]
    nats: Float[np.ndarray, "models examples"]
    mu: Float[np.ndarray, "models examples"]
    appearances: Int[np.ndarray, "models examples"] | Float[np.ndarray, "models examples"]
    steps: training.StepMetrics
    outputs: Outputs
    kept: PyTree = None


@dataclass(frozen=True)
class DefenseRun:
    """One defense over all seeds.

    Attributes:
        seconds: What training and attacking took in each seed, compiling in the first included, and
            teachers where they are trained first.
    """

    defense: Defense
    recipe: Recipe
    privacy: Privacy | None
    seeds: Sequence[SeedRun]
    seconds: Sequence[float] = ()


def train_all(
    task: Task,
    defenses: Sequence[Defense],
    book: RecipeBook,
    options: MembershipOptions,
    steps: Steps,
    measured: Collection[str] | None = None,
) -> list[DefenseRun]:
    """Trains and attacks every defense on the same halves, from the same initial parameters.

    Args:
        defenses: What to train; plain SGD comes first, censoring follows from its ledgers.
        steps: Progress; takes one step per defense and seed.
        measured: Families, or single defenses by label, whose runs keep ledgers; None for all.
            Censoring needs those of plain SGD, and some defenses always keep their own.
    """
    results: list[DefenseRun] = []
    teaching = Teaching(task, book.find("sgd"), options)
    for defense in defenses:
        recipe = defense.recipe_in(book)
        plain = results[0].seeds if results else None
        measure = measured is None or not {defense.family, defense.label}.isdisjoint(measured)
        results.append(
            _train_defense(task, defense, recipe, options, plain, steps, measure, teaching)
        )
    return results


@dataclass(frozen=True)
class Teaching:
    """Labels that defenses make before they train.

    They depend on the family and the seed alone: all strengths of a family learn the same ones.

    Attributes:
        recipe: That of plain SGD, by which teachers train.
    """

    task: Task
    recipe: Recipe
    options: MembershipOptions
    made: dict[tuple[str, int], Labels] = field(default_factory=dict)

    def labels(self, defense: Defense, seed: int) -> Labels | None:
        """Labels for each model of a seed, [M, N, classes]; None where there are the usual ones."""
        method = defense.method
        if method.labels is None:
            return None
        if (defense.family, seed) not in self.made:
            members = halves(self.task, self.options.shadow_models, seed)
            recipe = fit(self.recipe, int(members.sum(axis=1).min()), self.options.epochs)
            self.made[defense.family, seed] = method.labels(
                self.task, recipe, members, _label_key(seed)
            )
        return self.made[defense.family, seed]


def check_defenses(task: Task, defenses: Sequence[Defense], options: MembershipOptions) -> None:
    """Checks before anything is trained what defenses ask of the data.

    Raises:
        UserError: The data do not allow one of them.
    """
    for checks in dict.fromkeys(defense.method.checks for defense in defenses):
        if checks is not None:
            for seed in options.seed_numbers:
                with as_user_error(ValueError):
                    checks(task, halves(task, options.shadow_models, seed), _label_key(seed))


def _label_key(seed: int) -> PRNGKeyArray:
    # Another stream than the models' own and that of the halves.
    return jax.random.fold_in(jax.random.key(seed), 2)


def with_ridges(
    task: Task, plain: DefenseRun, ridges: Sequence[float], first_seed: int
) -> dict[float, SeedRun]:
    """The first seed of plain SGD, measured under other ridges.

    The ridge does not touch the updates, so the models and what they answer stay the same.

    Returns:
        Relative ridge to the run with the nats and μ that belong to it.
    """
    first = plain.seeds[0]
    runs = {}
    for ridge in ridges:
        ready = prepare(plain.defense, plain.recipe, first.members, ridge)
        trained = _train(task, plain.recipe, ready, first.members, jax.random.key(first_seed))
        nats, mu, _ = _disclosed(trained, first.members.shape)
        runs[ridge] = first._replace(nats=nats, mu=mu)
    return runs


def _train_defense(
    task: Task,
    defense: Defense,
    recipe: Recipe,
    options: MembershipOptions,
    plain: Sequence[SeedRun] | None,
    steps: Steps,
    measure: bool,
    teaching: Teaching,
) -> DefenseRun:
    numbers = options.seed_numbers
    members = [halves(task, options.shadow_models, number) for number in numbers]
    removed = [np.zeros_like(given) for given in members]
    if (removes := defense.method.removes) is not None:
        assert plain is not None
        assert defense.strength is not None
        removed = [removes(run.nats, run.members, defense.strength) for run in plain]
    kept = [given & ~taken for given, taken in zip(members, removed)]
    recipe = fit(recipe, int(np.sum(kept, axis=-1).min()), options.epochs)
    recipe = defense.fitted(recipe)
    ready = prepare(defense, recipe, kept[0], options.relative_ridge, measure=measure)

    def of_seed(seed: int) -> tuple[SeedRun, float]:
        began = time.perf_counter()
        key = jax.random.key(numbers[seed])
        labels = teaching.labels(defense, numbers[seed])
        run = run_seed(task, recipe, ready, members[seed], removed[seed], key, labels)
        return run, time.perf_counter() - began

    made = [
        steps.result(f"{defense.label}, seed {number}", partial(of_seed, seed))
        for seed, number in enumerate(numbers)
    ]
    seeds, seconds = zip(*made)
    return DefenseRun(defense, recipe, ready.privacy, seeds, seconds)


def halves(task: Task, num_models: int, seed: int) -> Bool[np.ndarray, "models examples"]:
    """The examples that are handed to the trainers of one seed's models, [M, N]."""
    # Another stream than the models' own keys, which come from key(seed) too.
    key = jax.random.fold_in(jax.random.key(seed), 1)
    if task.canaries is None:
        return np.asarray(training.random_halves(key, num_models, len(task.dataset.train)))
    # Who belongs together is a member together. Halves of groups of each size on their own: so the
    # number of members is the same in every seed, and all seeds are one program.
    groups = task.canaries.groups
    sizes = np.bincount(groups)
    chosen = np.zeros((num_models, len(sizes)), bool)
    for size in np.unique(sizes[sizes > 0]):
        of_size = np.flatnonzero(sizes == size)
        drawn = training.random_halves(jax.random.fold_in(key, int(size)), num_models, len(of_size))
        chosen[:, of_size] = np.asarray(drawn)
    return chosen[:, groups]


def run_seed(
    task: Task,
    recipe: Recipe,
    ready: Training,
    members: Bool[np.ndarray, "models examples"],
    removed: Bool[np.ndarray, "models examples"],
    key: PRNGKeyArray,
    labels: Labels | None = None,
) -> SeedRun:
    """Trains M models on what is left of their members, and attacks them.

    Args:
        ready: The defense, prepared for as many examples.
        members: Examples handed to the trainer of each model, [M, N]: what the attacks decide.
        removed: Examples taken away before training, [M, N].
        key: Initial parameters, batches and noise follow from it.
        labels: What each model learns in place of the labels, [M, N, classes].
    """
    trained = _train(task, recipe, ready, members & ~removed, key, labels)
    nats, mu, appearances = _disclosed(trained, members.shape)
    released = training.released_params(trained.params, trained.opt_state)
    count = min(_KEPT, len(members) // 2)
    return SeedRun(
        members=members,
        removed=removed,
        nats=nats,
        mu=mu,
        appearances=appearances,
        steps=trained.steps,
        outputs=query(adapted(task, recipe), released, members),
        kept=jax.tree.map(lambda leaf: np.asarray(leaf[:count]), released),
    )


def _train(
    task: Task,
    recipe: Recipe,
    ready: Training,
    masks: Bool[np.ndarray, "models examples"],
    key: PRNGKeyArray,
    labels: Labels | None = None,
) -> training.TrainResult:
    keys = jax.random.split(key, len(masks))
    fitted, optimizer = adapted(task, recipe), ready.make_optimizer
    return train_models(
        fitted, recipe, optimizer, masks, keys, sampling=ready.sampling, labels=labels
    )


def _disclosed(
    trained: training.TrainResult, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nats, μ and number of updates of every example in every model; NaN without a ledger."""
    ledger = training.aggregation_state(trained.opt_state).ledger
    if ledger is None:
        unknown = np.full(shape, np.nan, np.float32)
        return unknown, unknown, unknown
    return np.asarray(ledger.nats), np.sqrt(ledger.mu_squared), np.asarray(ledger.steps)
