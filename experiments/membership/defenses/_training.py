"""A defense made ready to train, as an optax chain."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import optax
from jaxtyping import Bool, PRNGKeyArray

from experiments.membership.defenses._method import Place, Privacy
from experiments.membership.defenses._registry import Defense
from experiments.membership.every import audit_every
from experiments.tasks.recipe import Recipe, descent_of
from gujax.training import average_parameters, plan_batches


@dataclass(frozen=True)
class Training:
    """A defense made ready: its whole chain, its sampling, and its guarantee if it has one."""

    make_optimizer: Callable[[PRNGKeyArray], optax.GradientTransformation]
    sampling: Literal["shuffle", "poisson"]
    privacy: Privacy | None


def prepare(
    defense: Defense,
    recipe: Recipe,
    member_masks: Bool[np.ndarray, "*models examples"],
    relative_ridge: float,
    every: int = 1,
    measure: bool = True,
) -> Training:
    """The optax chain of a defense, with a ledger over the data set.

    Args:
        member_masks: Examples that models are trained on; fixes the batch plan.
        relative_ridge: Ridge of every GNQ, as a fraction of the mean squared gradient norm. DP-SGD
            takes the ridge of its noise instead.
        every: Measure every so many steps only; for defenses that do not measure anyway.
        measure: Whether to keep the ledger. On small models measuring takes most of the time; some
            defenses cannot do without.
    """
    method = defense.method
    plan = plan_batches(member_masks, recipe.batch_size, recipe.epochs, method.sampling)
    num_steps = plan.steps_per_epoch * recipe.epochs
    follow = descent_of(recipe, num_steps)
    averaging = [average_parameters(recipe.average_decay)] if recipe.average_decay else []
    privacy = None
    if method.account is not None:
        delta = method.delta if defense.delta is None else defense.delta
        assert defense.strength is not None
        assert delta is not None
        privacy = method.account(defense.strength, delta, plan, num_steps, recipe)

    def start(key: PRNGKeyArray, num_examples: int | None) -> optax.GradientTransformationExtraArgs:
        place = Place(
            relative_ridge, plan.physical_size, num_examples, plan.batch_size, privacy, key
        )
        return method.start(defense.strength, place)

    def make_optimizer(key: PRNGKeyArray) -> optax.GradientTransformation:
        kept = measure or method.needs_ledger
        measured = start(key, member_masks.shape[-1] if kept else None)
        if every > 1:
            measured = audit_every(every, start(key, None), measured)
        return optax.chain(measured, follow, *averaging)

    return Training(make_optimizer, method.sampling, privacy)


def aggregation(
    defense: Defense, relative_ridge: float, batch_size: int, num_examples: int | None
) -> optax.GradientTransformationExtraArgs:
    """The transformation that a defense without noise starts its chain with.

    It keeps a ledger if `num_examples` is given, which the budget needs.
    """
    return defense.method.start(defense.strength, Place(relative_ridge, batch_size, num_examples))
