"""DP-SGD: clipped gradients and noise, with a guarantee."""

from experiments.framework.errors import UserError
from experiments.membership.defenses._method import Method, Place, Privacy, Strength
from experiments.tasks.recipe import Recipe
from gujax import transforms
from gujax.training import BatchPlan


def account(
    epsilon: float, delta: float, plan: BatchPlan, num_steps: int, recipe: Recipe
) -> Privacy:
    """Noise for a target ε, and the ε that is spent with it.

    Raises:
        UserError: The recipe is that of a method without a clipping norm.
    """
    if recipe.l2_norm_clip is None:
        raise UserError("the recipes hold none for 'dp_sgd'; run the `tune` job")
    noise = transforms.calibrate_noise_multiplier(epsilon, delta, plan.sampling_rate, num_steps)
    spent = transforms.epsilon_spent(noise, delta, plan.sampling_rate, num_steps)
    return Privacy(spent, delta, plan.sampling_rate, num_steps, recipe.l2_norm_clip, noise)


def start(strength: float, place: Place):
    """DP-SGD with the noise that was accounted for; `gujax.transforms.dp_sgd`."""
    privacy, expected = place.privacy, place.expected_batch_size
    assert privacy is not None
    assert expected is not None
    assert place.key is not None
    return transforms.dp_sgd(
        privacy.l2_norm_clip,
        privacy.noise_multiplier,
        expected,
        place.key,
        batch_size=place.batch_size,
        num_examples=place.num_examples,
    )


METHOD = Method(
    label="DP-SGD ε={:g}".format,
    color="#009E73",
    start=start,
    strength=Strength(
        "ε of the guarantee",
        defaults=(2.0, 8.0),
        allowed=lambda epsilon: epsilon > 0,
        must="positive",
        is_epsilon=True,
    ),
    sampling="poisson",
    account=account,
    delta=1e-5,
    front="DP-SGD",
)
