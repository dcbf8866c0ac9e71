"""Shares and attacks the updates of every seed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import polars as pl
from jaxtyping import Float, PRNGKeyArray, PyTree

from experiments.framework.errors import check_option
from experiments.framework.progress import Steps
from experiments.framework.run_directory import RunDirectory
from experiments.inversion.attacks import applicable, methods
from experiments.inversion.measuring import rows, victim_uniqueness
from experiments.inversion.options import InversionOptions
from experiments.inversion.search import SearchBudget, check_leaves
from experiments.inversion.sharing import Received, SharedUpdate, Victims, chosen, share
from experiments.inversion.space import Space
from experiments.tasks.task import Task
from gujax import training, transforms

_TRAINING_BATCH, _LEARNING_RATE = 128, 1e-3


@dataclass(frozen=True)
class Plan:
    """What is attacked, and how.

    Raises `UserError` if there are too few examples, or nothing to match for an attack.

    Attributes:
        options: Seeds, victims and what counts as a success.
        task: Data and plain model, standardized.
        space: What the inputs are.
        shared_updates: What the defenses make of them.
        attacks: Names of the attacks.
        budget: How searches are made.
        reference: Other examples, of the batch in which uniqueness is measured.
        epochs: Passes over the data before the updates are shared.
        relative_ridge: Ridge of the uniqueness.
    """

    options: InversionOptions
    task: Task
    space: Space
    shared_updates: Sequence[SharedUpdate]
    attacks: Sequence[str]
    budget: SearchBudget
    reference: int = 0
    epochs: int = 0
    relative_ridge: float = 0.1

    @property
    def pairs(self) -> list[tuple[SharedUpdate, str]]:
        """Every defense with every attack that can be made on it."""
        return [(s, name) for s in self.shared_updates for name in applicable(s, self.attacks)]

    @property
    def families(self) -> dict[str, str]:
        """The defenses' families by their labels."""
        return {shared.label: shared.family for shared in self.shared_updates}

    @property
    def quality(self) -> str:
        """By which measure the quality of a reconstruction is ranked."""
        return "ssim" if self.space.is_image else "feature_error"

    @property
    def num_steps(self) -> int:
        """One step per seed, defense and attack."""
        return self.options.seeds * len(self.pairs)

    def __post_init__(self) -> None:
        size, victims = len(self.task.dataset.train), self.options.victims
        beside = f" and --reference {self.reference} are" if self.reference else " is"
        check_option(
            victims + self.reference <= size,
            f"--victims {victims}{beside} more than the {size} training examples; ask for fewer",
        )
        for shared in self.shared_updates:
            shared.check_victims(victims)
        for shared in self.shared_updates:
            check_leaves(shared, self.budget)


class Attacked(NamedTuple):
    """What the attacks found.

    Attributes:
        frame: One row per seed, defense, attack and example.
        pictures: By defense and attack, what was found of the first seed's examples, in the data
            set's own values; under `TRUTH` the examples themselves.
    """

    frame: pl.DataFrame
    pictures: dict[tuple[str, str], Float[np.ndarray, "examples ..."]]

    def save_pictures(self, directory: RunDirectory, name: str = "pictures") -> None:
        """Writes the reconstructions themselves to ``name``.npz."""
        arrays: dict[str, Any] = {
            f"{label} / {attack}".strip(" /"): images
            for (label, attack), images in self.pictures.items()
        }
        np.savez_compressed(directory.file(f"{name}.npz"), **arrays)


TRUTH = ("truth", "")


class Round(NamedTuple):
    """What is about to be shared once, of one seed under one defense.

    Attributes:
        seed: The seed.
        shared: How it will be shared.
        params: Parameters of its network.
        victims: The examples.
        reference: Those beside them in the batch in which uniqueness is measured.
        share_key: Of the defense's noise.
        attack_key: Of the attacks' starts.
    """

    seed: int
    shared: SharedUpdate
    params: PyTree
    victims: Victims
    reference: Victims
    share_key: PRNGKeyArray
    attack_key: PRNGKeyArray


def rounds(plan: Plan) -> Iterator[Round]:
    """Everything that will be shared, seed by seed: the same in every process that asks."""
    for seed in range(plan.options.seeds):
        victims, reference = _draw(plan, seed)
        init_key, *keys = jax.random.split(jax.random.key(seed), 3)
        networks: dict[object, PyTree] = {}  # defenses of one network share its parameters
        for shared in plan.shared_updates:
            if shared.loss_fn not in networks:
                networks[shared.loss_fn] = _parameters(plan, shared, init_key)
            yield Round(seed, shared, networks[shared.loss_fn], victims, reference, *keys)


def received_here(now: Round) -> Received:
    """What the server receives where this process computes what the victims would."""
    return share(now.shared, now.params, now.victims, now.share_key)


def run(plan: Plan, steps: Steps, receive: Callable[[Round], Received] = received_here) -> Attacked:
    """Makes all attacks; takes `Plan.num_steps` steps.

    Args:
        plan: What is attacked.
        steps: Of the run.
        receive: Gives what the server receives.
    """
    frames: list[pl.DataFrame] = []
    pictures: dict[tuple[str, str], np.ndarray] = {}
    for now in rounds(plan):
        seed, shared, params, victims, reference, share_key, attack_key = now
        pictures.setdefault(TRUTH, plan.space.restore(victims.x))
        received = receive(now)
        gnq = victim_uniqueness(shared, params, victims, reference, share_key, plan.relative_ridge)
        for name in applicable(shared, plan.attacks):
            with steps.step(f"seed {seed}: {shared.label}, {name}"):
                outcome = methods()[name].run(received, plan.budget, attack_key)
                measured = rows(
                    received, name, outcome, victims, plan.space, plan.options.ssim_threshold
                )
            seed_column = pl.lit(seed, pl.Int32).alias("seed")
            frames.append(measured.with_columns(seed_column, uniqueness=gnq))
            if seed == 0 and outcome.inputs is not None:
                pictures[shared.label, name] = plan.space.restore(outcome.inputs)
    return Attacked(pl.concat(frames), pictures)


def _draw(plan: Plan, seed: int) -> tuple[Victims, Victims]:
    """Victims and reference examples of a seed, without repetition."""
    train, count = plan.task.dataset.train, plan.options.victims
    drawn = np.random.default_rng(seed).choice(len(train), count + plan.reference, replace=False)
    return chosen(train, drawn[:count]), chosen(train, drawn[count:])


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
        optax.chain(transforms.mean(batch_size=_TRAINING_BATCH), optax.adam(_LEARNING_RATE)),
        batch_size=_TRAINING_BATCH,
        epochs=plan.epochs,
        key=train_key,
        randomized=shared.randomized,
    ).params
