"""The defenses that are compared, each as one optax chain."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import optax
from jaxtyping import Bool, Float, PRNGKeyArray

from experiments.membership.every import audit_every
from experiments.tasks.recipe import Recipe, descent_of
from gujax import transforms
from gujax.training import BatchPlan, average_parameters, plan_batches

Family = Literal["sgd", "gate", "clip", "budget", "censor", "dp_sgd"]


@dataclass(frozen=True)
class Defense:
    """One row of the comparison.

    Attributes:
        label: Its name in tables and figures.
        family: Which method it is.
        strength: The method's own privacy setting: quantile of the gate, cap of the clip, nats of
            the budget, share that is censored, ε of DP-SGD; None for plain SGD.
    """

    label: str
    family: Family
    strength: float | None = None

    @property
    def epsilon(self) -> float | None:
        """ε of DP-SGD; None for every other family."""
        return self.strength if self.family == "dp_sgd" else None


@dataclass(frozen=True)
class Privacy:
    """What DP-SGD guarantees in a run, and by what means.

    Attributes:
        epsilon: ε spent, by the accountant of `gujax.transforms`.
        delta: δ.
        sampling_rate: Probability that an example is in a batch (Poisson).
        steps: Number of steps.
        l2_norm_clip: Clipping norm.
        noise_multiplier: Standard deviation of the noise on the sum over the clipping norm.
    """

    epsilon: float
    delta: float
    sampling_rate: float
    steps: int
    l2_norm_clip: float
    noise_multiplier: float


@dataclass(frozen=True)
class Training:
    """A defense made ready to train.

    Attributes:
        make_optimizer: Maps a key to the whole optax chain.
        sampling: How batches are drawn.
        privacy: The guarantee; None without one.
    """

    make_optimizer: Callable[[PRNGKeyArray], optax.GradientTransformation]
    sampling: Literal["shuffle", "poisson"]
    privacy: Privacy | None


def prepare(
    defense: Defense,
    recipe: Recipe,
    member_masks: Bool[np.ndarray, "*models examples"],
    relative_ridge: float,
    delta: float,
    every: int = 1,
    measure: bool = True,
) -> Training:
    """The optax chain of a defense, with a ledger over the data set.

    Args:
        defense: What to build.
        recipe: Its hyperparameters.
        member_masks: Examples that models are trained on; fixes the batch plan.
        relative_ridge: Ridge of every GNQ, as a fraction of the mean squared gradient norm. DP-SGD
            takes the ridge of its noise instead.
        delta: δ of DP-SGD.
        every: Measure every so many steps only; for plain SGD and DP-SGD.
        measure: Whether to keep the ledger. On small models measuring takes most of the time; the
            budget cannot do without.
    """
    sampling: Literal["shuffle", "poisson"] = "poisson" if defense.family == "dp_sgd" else "shuffle"
    plan = plan_batches(member_masks, recipe.batch_size, recipe.epochs, sampling)
    num_steps = plan.steps_per_epoch * recipe.epochs
    follow = descent_of(recipe, num_steps)
    averaging = [average_parameters(recipe.average_decay)] if recipe.average_decay else []
    privacy = None
    if defense.family == "dp_sgd":
        assert defense.epsilon is not None
        privacy = account(defense.epsilon, delta, plan, num_steps, recipe)

    def aggregate(
        key: PRNGKeyArray, num_examples: int | None
    ) -> optax.GradientTransformationExtraArgs:
        if privacy is None:
            return aggregation(defense, relative_ridge, plan.physical_size, num_examples)
        return transforms.dp_sgd(
            privacy.l2_norm_clip,
            privacy.noise_multiplier,
            plan.batch_size,
            key,
            batch_size=plan.physical_size,
            num_examples=num_examples,
        )

    def make_optimizer(key: PRNGKeyArray) -> optax.GradientTransformation:
        kept = measure or defense.family == "budget"
        measured = aggregate(key, member_masks.shape[-1] if kept else None)
        if every > 1:
            measured = audit_every(every, aggregate(key, None), measured)
        return optax.chain(measured, follow, *averaging)

    return Training(make_optimizer, sampling, privacy)


def account(
    epsilon: float, delta: float, plan: BatchPlan, num_steps: int, recipe: Recipe
) -> Privacy:
    """Noise for a target ε, and the ε that is spent with it."""
    assert recipe.l2_norm_clip is not None
    noise = transforms.calibrate_noise_multiplier(epsilon, delta, plan.sampling_rate, num_steps)
    spent = transforms.epsilon_spent(noise, delta, plan.sampling_rate, num_steps)
    return Privacy(spent, delta, plan.sampling_rate, num_steps, recipe.l2_norm_clip, noise)


def most_disclosed(
    nats: Float[np.ndarray, "models examples"],
    members: Bool[np.ndarray, "models examples"],
    fraction: float,
) -> Bool[np.ndarray, "models examples"]:
    """The examples that censoring removes: each model's `fraction` of members with most nats.

    Args:
        nats: Accumulated disclosure of each example in each plain run.
        members: Examples that each model was given.
        fraction: Share of a model's members to remove, rounded up.
    """
    removed = np.zeros_like(members)
    for row, (of_model, given) in enumerate(zip(nats, members)):
        count = int(np.ceil(fraction * given.sum()))
        order = np.argsort(np.where(given, of_model, -np.inf), kind="stable")
        removed[row, order[len(order) - count :]] = True
    return removed


def aggregation(
    defense: Defense, relative_ridge: float, batch_size: int, num_examples: int | None
) -> optax.GradientTransformationExtraArgs:
    """The transformation that a defense without noise starts its chain with.

    It keeps a ledger if `num_examples` is given, which the budget needs.
    """
    strength: Any = defense.strength
    make: Callable[..., optax.GradientTransformationExtraArgs]
    if defense.family == "gate":
        make = partial(transforms.uniqueness_gate, quantile=strength)
    elif defense.family == "clip":
        make = partial(transforms.uniqueness_clip, strength)
    elif defense.family == "budget":
        make = partial(transforms.disclosure_budget, strength)
    else:  # censoring is plain SGD on fewer examples
        make = transforms.mean
    return make(relative_ridge=relative_ridge, batch_size=batch_size, num_examples=num_examples)
