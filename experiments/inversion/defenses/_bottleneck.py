"""What variational bottlenecks have in common: noise within the network, of every draw its own."""

from dataclasses import replace
from functools import lru_cache

import jax
from jaxtyping import PRNGKeyArray, PyTree

from experiments.inversion.defenses import Setting
from experiments.inversion.defenses._plain import last_layer
from experiments.inversion.sharing import Adversary, Examples, SharedUpdate
from experiments.tasks.task import Task
from gujax import defenses
from gujax.attacks import inversion
from gujax.training import GradientFn, LossFn
from gujax.trees import named_leaves

ADAPTATION = "of a bottleneck it leaves out the leaves that are stochastic"


@lru_cache(maxsize=4)  # the same objects for PRECODE and PPP, so that each is compiled once
def bottleneck(
    task: Task, before: str, build: defenses.BuildBottleneck, beta: float, setting: Setting
) -> SharedUpdate:
    """The gradient of a network with a bottleneck before a layer.

    Args:
        task: Data and plain network.
        before: Path of the layer.
        build: Makes the bottleneck for that place.
        beta: Weight of the KL divergence, in bits, in the loss.
        setting: What all defenses share.
    """
    model = defenses.insert_bottleneck(task.model, before, build)
    loss_fn = defenses.bottleneck_loss(model, beta)
    gradient_fn = inversion.batch_gradient(loss_fn)

    def share(params: PyTree, examples: Examples, key: PRNGKeyArray) -> PyTree:
        x, y = examples
        return gradient_fn(params, (x, y, jax.random.split(key, len(y))))

    # Draws of the attacker's own: nobody knows the victim's noise.
    own = jax.random.key(0)

    def averaging(num_draws: int) -> Adversary:
        def expected(loss_fn: LossFn) -> GradientFn:
            return defenses.noise_averaged(inversion.batch_gradient(loss_fn), own, num_draws)

        return Adversary(loss_fn, expected)

    def told(loss_fn: LossFn) -> GradientFn:
        return replace(inversion.batch_gradient(loss_fn), draws=_as_told)

    guess, last = averaging(1), last_layer(task)
    bypass = None
    if setting.batch_size == 1 and _is_linear(model):
        behind = (path for path in model.stochastic if path != f"{model.encoder}/kernel")
        bypass = Adversary(defenses.encoder_loss(model), leaf_weights=inversion.without(*behind))
    return SharedUpdate(
        model=model,
        loss_fn=loss_fn,
        randomized=True,
        num_classes=task.dataset.num_classes,
        last_layer=f"{before}/layer" if before == last else last,
        num_examples=setting.batch_size,
        share=share,
        naive=guess,
        adaptive=replace(guess, leaf_weights=inversion.without(*model.stochastic)),
        averaged=averaging(setting.draws),
        bypass=bypass,
        encoder=model.encoder,
        told=Adversary(loss_fn, told),
        stochastic=model.stochastic,
    )


def _is_linear(model: defenses.BottleneckModel) -> bool:
    """Whether the encoder is fully connected: its bias then has the error at one place alone."""
    shapes = dict(named_leaves(jax.eval_shape(model.init, jax.random.key(0))))
    return shapes[f"{model.encoder}/kernel"].ndim == 2


def _as_told(examples: PyTree) -> PyTree:
    """Examples with the very draws that the victim made."""
    x, (y, data) = examples
    return x, y, jax.random.wrap_key_data(data)
