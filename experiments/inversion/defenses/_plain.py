"""The gradient as it is, from which the other defenses set out."""

import jax

from experiments.inversion.sharing import Adversary, Share, SharedUpdate
from experiments.tasks.task import Task
from gujax.attacks import inversion
from gujax.training import GradientFn


def aggregate(task: Task, num_examples: int) -> SharedUpdate:
    """The mean gradient of so many examples, as it is."""
    return SharedUpdate(
        model=task.model,
        loss_fn=task.loss_fn,
        randomized=False,
        num_classes=task.dataset.num_classes,
        last_layer=last_layer(task),
        num_examples=num_examples,
        share=without_noise(inversion.batch_gradient(task.loss_fn)),
        naive=Adversary(task.loss_fn),
    )


def without_noise(gradient_fn: GradientFn) -> Share:
    """An update that needs no key."""
    return lambda params, examples, key: gradient_fn(params, examples)


def last_layer(task: Task) -> str:
    """Path of the network's last layer."""
    params = _parameters(task)
    for name in ("head", "tokens"):  # a language model's is the embedding of its tokens
        if name in params:
            return name
    return f"layers/{max(params['layers'])}"


def second_layer(task: Task) -> str:
    """Path of what follows the network's first convolution; the second layer if it has none."""
    params = _parameters(task)
    if "blocks" in params:
        return "blocks/0"
    return "convolutions/1" if "convolutions" in params else "layers/1"


def whole(strength: float) -> int:
    """A strength that counts something; raises `ValueError` for what is no count."""
    if strength < 1 or strength != int(strength):
        raise ValueError(f"its strength {strength:g} must be a whole number, at least 1")
    return int(strength)


def _parameters(task: Task) -> dict:
    return jax.eval_shape(task.model.init, jax.random.key(0))
