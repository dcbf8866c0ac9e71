"""DP-SGD by its noise: from noise that only attacks can judge to noise that an ε speaks of."""

from dataclasses import replace

from experiments.membership.defenses import dp_sgd
from experiments.membership.defenses._method import Method, Privacy, Strength
from experiments.tasks.recipe import Recipe
from gujax import transforms
from gujax.training import BatchPlan

CLIP = 4.0  # where the recipe has none; attacks favour 4 to 10
_MEANS_NOTHING = 1000.0  # an ε from which on it says no more than infinity


def clipped(strength: float, recipe: Recipe) -> Recipe:
    """The recipe with a clipping norm."""
    return replace(recipe, l2_norm_clip=recipe.l2_norm_clip or CLIP)


def account(noise: float, delta: float, plan: BatchPlan, num_steps: int, recipe: Recipe) -> Privacy:
    """The ε that is spent with this noise; infinite where it means nothing."""
    assert recipe.l2_norm_clip is not None
    # The accountant takes long for little noise, of which its answer would say nothing.
    spent = float("inf")
    if noise >= 0.3:
        spent = transforms.epsilon_spent(noise, delta, plan.sampling_rate, num_steps)
    epsilon = spent if spent < _MEANS_NOTHING else float("inf")
    return Privacy(epsilon, delta, plan.sampling_rate, num_steps, recipe.l2_norm_clip, noise)


METHOD = Method(
    label="DP noise {:g}".format,
    color="#117733",
    start=dp_sgd.start,
    strength=Strength(
        "standard deviation of the noise over the clipping norm",
        defaults=(0.1, 0.5),
        allowed=lambda noise: noise >= 0,
        must="0 or more",
    ),
    sampling="poisson",
    account=account,
    adapts=clipped,
    delta=dp_sgd.METHOD.delta,
    front="DP-SGD",
)
