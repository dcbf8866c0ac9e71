"""Rounds of removal: train, audit and attack, remove a layer, train again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray

from experiments.framework.progress import Steps
from experiments.jobs.onion.options import Options, Scope
from experiments.membership.analysis import nats_per_example
from experiments.membership.defenses import Defense, Training, most_disclosed, prepare
from experiments.membership.runs import DefenseRun, SeedRun, halves, run_seed
from experiments.tasks.recipe import Recipe, fit
from experiments.tasks.task import Task
from gujax import training

Masks = Sequence[Bool[np.ndarray, "models examples"]]

# Reference and rounds are trained with other randomness than the models that were audited first.
# What is removed is chosen by what those models disclosed; were the same models, or models with
# their initial parameters and batches, attacked as "before", chance would count as protection.
_FRESH = 2
_PLAIN = Defense("nothing removed", "sgd")


class Arm(NamedTuple):
    """One way to choose what is removed.

    Attributes:
        scope: "model": each model's owner removes from its own training set. "data": examples
            disappear from the pool from which all training sets are drawn, anew after each removal.
        by: "nats": what the models disclosed most about, averaged over models for the scope
            "data". "chance": as many, at random.
    """

    scope: Scope
    by: Literal["nats", "chance"]

    @property
    def label(self) -> str:
        """Its name in tables."""
        source = "each training set" if self.scope == "model" else "the pool"
        return f"{'most disclosed' if self.by == 'nats' else 'random'}, from {source}"


@dataclass(frozen=True)
class Peeled:
    """All runs.

    Attributes:
        audited: Nothing removed; chooses what the first round removes. One run per seed.
        again: Nothing removed, trained afresh: the survivors' vulnerability before. One per seed.
        rounds: `rounds[arm][r]` are the runs after r + 1 removals, one per seed.
    """

    recipe: Recipe
    audited: list[SeedRun]
    again: list[SeedRun]
    rounds: dict[Arm, list[list[SeedRun]]]

    def stages(self) -> list[DefenseRun]:
        """Every training under its own label, as tables list them."""
        labelled = [("audited first", self.audited), ("trained again", self.again)]
        labelled += [
            (f"{arm.label}, round {number}", runs)
            for arm, stages in self.rounds.items()
            for number, runs in enumerate(stages, start=1)
        ]
        return [
            DefenseRun(Defense(label, "censor"), self.recipe, None, runs)
            for label, runs in labelled
        ]


def peel(
    task: Task, recipe: Recipe, scopes: Sequence[Scope], options: Options, steps: Steps
) -> Peeled:
    """Trains, audits and attacks all rounds; each scope is done by nats and by chance."""
    members = [halves(task, options.shadow_models, seed) for seed in options.seed_numbers]
    nothing = [np.zeros_like(given) for given in members]
    known: dict[tuple[int, ...], Training] = {}  # the same program is compiled once

    def train(label: str, members: Masks, removed: Masks, stream: int) -> list[SeedRun]:
        fewest = min(int((g & ~r).sum(axis=1).min()) for g, r in zip(members, removed))
        fitted = fit(recipe, fewest)
        masks = members[0] & ~removed[0]
        sizes = tuple(masks.sum(axis=1).tolist())
        if sizes not in known:
            known[sizes] = prepare(_PLAIN, fitted, masks, options.relative_ridge)
        runs = []
        for seed, given, gone in zip(options.seed_numbers, members, removed):
            with steps.step(f"{label}, seed {seed}"):
                runs.append(run_seed(task, fitted, known[sizes], given, gone, _key(seed, stream)))
        return runs

    audited = train("audited first", members, nothing, 0)
    again = train("trained again", members, nothing, _FRESH)
    rounds: dict[Arm, list[list[SeedRun]]] = {}
    for arm in (Arm(scope, by) for scope in scopes for by in ("nats", "chance")):
        stages, last = [], audited
        for number in range(1, options.rounds + 1):
            removed = [
                run.removed | next_layer(arm, run, options.fraction, (seed, number))
                for seed, run in zip(options.seed_numbers, last)
            ]
            given = members
            if arm.scope == "data":
                given = [
                    halves_of_pool(of_seed, ~gone[0], jax.random.fold_in(_key(seed, 1), number))
                    for seed, of_seed, gone in zip(options.seed_numbers, members, removed)
                ]
            last = train(f"{arm.label}, round {number}", given, removed, _FRESH + number)
            stages.append(last)
        rounds[arm] = stages
    return Peeled(recipe, audited, again, rounds)


def halves_of_pool(
    members: Bool[np.ndarray, "models examples"],
    pool: Bool[np.ndarray, " examples"],
    key: PRNGKeyArray,
) -> Bool[np.ndarray, "models examples"]:
    """New random halves of what is left of the pool; who was given what else stays as it was.

    All training sets are then equally large, whatever was removed.
    """
    drawn = members.copy()
    drawn[:, pool] = training.random_halves(key, len(members), int(pool.sum()))
    return drawn


def _key(seed: int, stream: int) -> PRNGKeyArray:
    """A key for one purpose: stream 1 is for halves, as in `halves`, all others for models."""
    key = jax.random.key(seed)
    return jax.random.fold_in(key, stream) if stream else key


def num_stages(scopes: Sequence[Scope], rounds: int) -> int:
    """How many trainings of all models one seed takes."""
    return 2 + 2 * len(scopes) * rounds


def next_layer(
    arm: Arm, run: SeedRun, fraction: float, random_seed: Sequence[int]
) -> Bool[np.ndarray, "models examples"]:
    """What an arm removes after a run, [M, N]; for the scope "data" whole columns.

    It is a share of `fraction` of each model's members, or of the pool, that are still there,
    rounded up.
    """
    nats: Float[np.ndarray, "models examples"] = run.nats
    if arm.by == "chance":
        nats = np.random.default_rng(random_seed).random(nats.shape)
    if arm.scope == "model":
        return most_disclosed(nats, run.members & ~run.removed, fraction)
    in_pool = np.any(~run.removed, axis=0, keepdims=True)
    of_example = nats_per_example(run._replace(nats=nats))
    layer = most_disclosed(of_example[None], in_pool, fraction)
    return np.broadcast_to(layer, run.members.shape)
