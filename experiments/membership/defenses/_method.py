"""What the file of a training-time defense says about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import optax
from jaxtyping import Bool, Float, PRNGKeyArray

from experiments.tasks.recipe import Recipe
from experiments.tasks.task import Task
from gujax.training import BatchPlan

Pairs = Bool[np.ndarray, "models examples"]
Labels = Float[np.ndarray, "models examples classes"]


@dataclass(frozen=True)
class Privacy:
    """What DP-SGD guarantees in a run, and by what means.

    Attributes:
        epsilon: ε spent, by the accountant of `gujax.transforms`.
        sampling_rate: Probability that an example is in a batch (Poisson).
        noise_multiplier: Standard deviation of the noise on the sum over the clipping norm.
    """

    epsilon: float
    delta: float
    sampling_rate: float
    steps: int
    l2_norm_clip: float
    noise_multiplier: float


class Place(NamedTuple):
    """Where a transformation is put: what it must know of the run.

    Attributes:
        relative_ridge: Ridge of every GNQ, over the mean squared gradient norm of a batch.
        batch_size: Largest number of examples in a batch.
        num_examples: Size of the data set, over which a ledger is kept; None for no ledger.
        expected_batch_size: By which sums with noise are divided.
    """

    relative_ridge: float
    batch_size: int
    num_examples: int | None
    expected_batch_size: int | None = None
    privacy: Privacy | None = None
    key: PRNGKeyArray | None = None

    @property
    def measuring(self) -> dict[str, Any]:
        """Arguments of the transformations of `gujax.transforms` that measure under a ridge."""
        return {
            "relative_ridge": self.relative_ridge,
            "batch_size": self.batch_size,
            "num_examples": self.num_examples,
        }


@dataclass(frozen=True)
class Strength:
    """The number behind a family's name, as in "gate:0.9".

    Attributes:
        defaults: What the family's name alone stands for.
        must: What `allowed` asks for, in words: "it must be `must`".
        is_epsilon: Whether the strength is the ε of a guarantee, for which the search has a recipe
            of its own.
    """

    meaning: str
    defaults: tuple[float, ...]
    allowed: Callable[[float], bool]
    must: str
    is_epsilon: bool = False


@dataclass(frozen=True)
class Method:
    """A family of training-time defenses; its file's name is the family's name.

    Attributes:
        label: Name in tables and figures, from the strength.
        start: The transformation that its optax chain starts with, from the strength.
        measures_anyway: Whether its updates depend on uniqueness: every step then measures it, with
            a ledger or without.
        needs_ledger: Whether it cannot do without a ledger.
        drops: Whether it leaves examples out of single batches: a ledger says how often each took
            part.
        removes: The examples that it takes away before training, [M, N], from the nats [M, N] of a
            plain run, that run's members [M, N] and the strength; None where it removes nothing
            and needs no plain run.
        passes: Passes over the data, where the strength says how many; None where the recipe does.
        like: Family whose recipes it takes where none were searched for its own.
        adapts: The recipe of its run, from the strength and the recipe found; None for the latter.
        labels: What its models learn in place of the labels, from the task, the recipe of plain
            SGD, the members and a key; None for the labels.
        checks: Says before anything is trained what the data do not allow, from the task, the
            members and the key that `labels` is given; raises ValueError.
        front: Name of the front that its points belong to; None for the family's name.
        account: Its guarantee, from strength, δ, batches, number of steps and recipe; None without
            one.
        delta: δ of the guarantee where a run names no other.
    """

    label: Callable[[Any], str]
    color: str
    start: Callable[[Any, Place], optax.GradientTransformationExtraArgs]
    strength: Strength | None = None
    sampling: Literal["shuffle", "poisson"] = "shuffle"
    measures_anyway: bool = False
    needs_ledger: bool = False
    drops: bool = False
    removes: Callable[[Float[np.ndarray, "models examples"], Pairs, float], Pairs] | None = None
    passes: Callable[[float], int] | None = None
    like: str = "sgd"
    adapts: Callable[[float, Recipe], Recipe] | None = None
    labels: Callable[[Task, Recipe, Pairs, PRNGKeyArray], Labels] | None = None
    checks: Callable[[Task, Pairs, PRNGKeyArray], None] | None = None
    front: str | None = None
    account: Callable[[float, float, BatchPlan, int, Recipe], Privacy] | None = None
    delta: float | None = None
