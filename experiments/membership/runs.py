"""Trains and attacks every defense."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from experiments.framework.progress import Steps
from experiments.membership.attacks import Outputs, query
from experiments.membership.defenses import Defense, Privacy, Training, prepare
from experiments.membership.options import MembershipOptions
from experiments.tasks.adaptation import adapted
from experiments.tasks.recipe import Recipe, RecipeBook, fit
from experiments.tasks.task import Task
from experiments.tasks.training import train_models
from gujax import training

Options = TypeVar("Options", bound=MembershipOptions)


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
    """

    members: Bool[np.ndarray, "models examples"]
    removed: Bool[np.ndarray, "models examples"]
    nats: Float[np.ndarray, "models examples"]
    mu: Float[np.ndarray, "models examples"]
    appearances: Int[np.ndarray, "models examples"] | Float[np.ndarray, "models examples"]
    steps: training.StepMetrics
    outputs: Outputs


@dataclass(frozen=True)
class DefenseRun:
    """One defense over all seeds."""

    defense: Defense
    recipe: Recipe
    privacy: Privacy | None
    seeds: Sequence[SeedRun]


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
        measured: Families whose runs keep ledgers; None for all. Censoring needs those of plain
            SGD, and some defenses always keep their own.
    """
    results: list[DefenseRun] = []
    for defense in defenses:
        recipe = book.find(defense.family, defense.strength)
        plain = results[0].seeds if results else None
        measure = measured is None or defense.family in measured
        results.append(_train_defense(task, defense, recipe, options, plain, steps, measure))
    return results


def with_ridges(task: Task, plain: DefenseRun, ridges: Sequence[float]) -> dict[float, SeedRun]:
    """The first seed of plain SGD, measured under other ridges.

    The ridge does not touch the updates, so the models and what they answer stay the same.

    Returns:
        Relative ridge to the run with the nats and μ that belong to it.
    """
    first = plain.seeds[0]
    runs = {}
    for ridge in ridges:
        ready = prepare(plain.defense, plain.recipe, first.members, ridge)
        trained = _train(task, plain.recipe, ready, first.members, jax.random.key(0))
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
) -> DefenseRun:
    members = [halves(task, options.shadow_models, seed) for seed in range(options.seeds)]
    removed = [np.zeros_like(given) for given in members]
    if (removes := defense.method.removes) is not None:
        assert plain is not None
        assert defense.strength is not None
        removed = [removes(run.nats, run.members, defense.strength) for run in plain]
    kept = [given & ~taken for given, taken in zip(members, removed)]
    recipe = fit(recipe, int(np.sum(kept, axis=-1).min()), options.epochs)
    ready = prepare(defense, recipe, kept[0], options.relative_ridge, measure=measure)
    seeds = []
    for seed in range(options.seeds):
        with steps.step(f"{defense.label}, seed {seed}"):
            key = jax.random.key(seed)
            seeds.append(run_seed(task, recipe, ready, members[seed], removed[seed], key))
    return DefenseRun(defense, recipe, ready.privacy, seeds)


def halves(task: Task, num_models: int, seed: int) -> Bool[np.ndarray, "models examples"]:
    """The examples that are handed to the trainers of one seed's models, [M, N]."""
    # Another stream than the models' own keys, which come from key(seed) too.
    key = jax.random.fold_in(jax.random.key(seed), 1)
    return np.asarray(training.random_halves(key, num_models, len(task.dataset.train)))


def run_seed(
    task: Task,
    recipe: Recipe,
    ready: Training,
    members: Bool[np.ndarray, "models examples"],
    removed: Bool[np.ndarray, "models examples"],
    key: PRNGKeyArray,
) -> SeedRun:
    """Trains M models on what is left of their members, and attacks them.

    Args:
        ready: The defense, prepared for as many examples.
        members: Examples handed to the trainer of each model, [M, N]: what the attacks decide.
        removed: Examples taken away before training, [M, N].
        key: Initial parameters, batches and noise follow from it.
    """
    trained = _train(task, recipe, ready, members & ~removed, key)
    nats, mu, appearances = _disclosed(trained, members.shape)
    released = training.released_params(trained.params, trained.opt_state)
    return SeedRun(
        members=members,
        removed=removed,
        nats=nats,
        mu=mu,
        appearances=appearances,
        steps=trained.steps,
        outputs=query(adapted(task, recipe), released, members),
    )


def _train(
    task: Task,
    recipe: Recipe,
    ready: Training,
    masks: Bool[np.ndarray, "models examples"],
    key: PRNGKeyArray,
) -> training.TrainResult:
    keys = jax.random.split(key, len(masks))
    fitted, optimizer = adapted(task, recipe), ready.make_optimizer
    return train_models(fitted, recipe, optimizer, masks, keys, sampling=ready.sampling)


def _disclosed(
    trained: training.TrainResult, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nats, μ and number of updates of every example in every model; NaN without a ledger."""
    ledger = training.aggregation_state(trained.opt_state).ledger
    if ledger is None:
        unknown = np.full(shape, np.nan, np.float32)
        return unknown, unknown, unknown
    return np.asarray(ledger.nats), np.sqrt(ledger.mu_squared), np.asarray(ledger.steps)
