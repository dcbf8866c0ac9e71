"""Shares and attacks the updates of every seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
import optax
import polars as pl
from jaxtyping import Float, PRNGKeyArray, PyTree

from experiments.framework.progress import Steps
from experiments.inversion import (
    SearchBudget,
    SharedUpdate,
    Space,
    Victims,
    applicable,
    attack,
    rows,
    share,
    victim_uniqueness,
)
from experiments.tasks.task import Task
from gujax import training, transforms

_TRAINING_BATCH, _LEARNING_RATE = 128, 1e-3


@dataclass(frozen=True)
class Plan:
    """What is attacked, and how.

    Attributes:
        task: Data and plain model, standardized.
        space: What the inputs are.
        shared_updates: The defenses.
        attacks: Names of the attacks.
        budget: How searches are made.
        seeds: Independent repeats: other examples, other parameters, other noise.
        victims: Examples per seed.
        reference: Other examples, of the batch in which uniqueness is measured.
        epochs: Passes over the data before the updates are shared.
        relative_ridge: Ridge of the uniqueness.
        ssim_threshold: From which an image counts as reconstructed.
    """

    task: Task
    space: Space
    shared_updates: Sequence[SharedUpdate]
    attacks: Sequence[str]
    budget: SearchBudget
    seeds: int
    victims: int
    reference: int
    epochs: int
    relative_ridge: float
    ssim_threshold: float

    @property
    def pairs(self) -> list[tuple[SharedUpdate, str]]:
        """Every defense with every attack that can be made on it."""
        return [(s, name) for s in self.shared_updates for name in applicable(s, self.attacks)]


class Results(NamedTuple):
    """What was measured.

    Attributes:
        frame: One row per seed, defense, attack and example.
        pictures: By defense and attack, what was found of the first seed's examples, in the data
            set's own values; under `TRUTH` the examples themselves.
    """

    frame: pl.DataFrame
    pictures: dict[tuple[str, str], Float[np.ndarray, "examples ..."]]


TRUTH = ("truth", "")


def run(plan: Plan, steps: Steps) -> Results:
    """Makes all attacks.

    Args:
        plan: What to do.
        steps: Progress; takes one step per seed and pair of `Plan.pairs`.
    """
    frames, pictures = [], {}
    for seed in range(plan.seeds):
        victims, reference = _draw(plan, seed)
        if seed == 0:
            pictures[TRUTH] = plan.space.restore(victims.x)
        init_key, share_key, attack_key = jax.random.split(jax.random.key(seed), 3)
        networks: dict[object, PyTree] = {}  # defenses of one network share its parameters
        for shared in plan.shared_updates:
            if shared.loss_fn not in networks:
                networks[shared.loss_fn] = _parameters(plan, shared, init_key)
            params = networks[shared.loss_fn]
            received = share(shared, params, victims, share_key)
            gnq = victim_uniqueness(
                shared, params, victims, reference, share_key, plan.relative_ridge
            )
            for name in applicable(shared, plan.attacks):
                with steps.step(f"seed {seed}: {shared.label}, {name}"):
                    outcome = attack(received, name, plan.budget, attack_key)
                    measured = rows(
                        received, name, outcome, victims, plan.space, plan.ssim_threshold
                    )
                frames.append(
                    measured.with_columns(
                        pl.lit(seed, pl.Int32).alias("seed"), pl.Series("uniqueness", gnq)
                    )
                )
                if seed == 0 and outcome.inputs is not None:
                    pictures[shared.label, name] = plan.space.restore(outcome.inputs)
    return Results(pl.concat(frames), pictures)


def _draw(plan: Plan, seed: int) -> tuple[Victims, Victims]:
    """Victims and reference examples of a seed, without repetition."""
    train = plan.task.dataset.train
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(train), plan.victims + plan.reference, replace=False)
    parts = np.split(chosen, [plan.victims])
    return tuple(Victims(train.x[i], train.y[i], train.ids[i]) for i in parts)  # type: ignore[return-value]


def _parameters(plan: Plan, shared: SharedUpdate, key: PRNGKeyArray) -> PyTree:
    init_key, train_key = jax.random.split(key)
    # Not one program per network: they share the shapes of most layers.
    params = shared.model.init(init_key)
    if not plan.epochs:
        return params
    return training.train(
        shared.loss_fn,
        params,
        plan.task.dataset.train,
        optax.chain(transforms.mean(), optax.adam(_LEARNING_RATE)),
        batch_size=_TRAINING_BATCH,
        epochs=plan.epochs,
        key=train_key,
        randomized=shared.randomized,
        progress=False,
    ).params
