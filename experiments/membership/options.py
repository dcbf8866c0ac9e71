"""Options of jobs that train many models and attack them."""

from pathlib import Path

from experiments.framework.options import Count, Models, Positive, options
from experiments.tasks.options import TaskOptions


@options
class MembershipOptions(TaskOptions):
    """Options that such jobs share.

    Attributes:
        seeds: Independent repeats; intervals are over them.
        shadow_models: Models per defense and seed (even): each is attacked with the others.
        epochs: Passes over the data, for every defense; default: those of the recipes.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch:
            the noise that the attacker of the bound is assumed to face. DP-SGD uses its own noise.
        recipes: Hyperparameters written by the `tune` job; default: those that come along.
    """

    seeds: Count = 5
    shadow_models: Models = 16
    epochs: Count | None = None
    relative_ridge: Positive = 0.1
    recipes: Path | None = None
