"""What a client shares after steps of its own, in the units of a gradient."""

from collections.abc import Callable

import jax
from jaxtyping import PyTree

from experiments.inversion.defenses import Setting
from experiments.inversion.sharing import Examples
from gujax import defenses
from gujax.attacks import inversion
from gujax.training import GradientFn, LossFn


def mean_step(num_steps: int, setting: Setting) -> Callable[[LossFn], GradientFn]:
    """Maps a loss to the mean of so many local steps, each on a batch, in units of a gradient."""
    rate = setting.local_learning_rate

    def of_loss(loss_fn: LossFn) -> GradientFn:
        total = defenses.local_steps(
            inversion.batch_gradient(loss_fn), rate, batch_size=setting.batch_size
        )

        def update(params: PyTree, examples: Examples) -> PyTree:
            # Who knows the learning rate takes it out: what is left is a gradient in its own units.
            return jax.tree.map(lambda leaf: leaf / (rate * num_steps), total(params, examples))

        return update

    return of_loss
