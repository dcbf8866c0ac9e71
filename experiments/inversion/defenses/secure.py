"""Secure aggregation: the server sees the mean over clients, and no client's own update."""

from dataclasses import replace

import jax
from jaxtyping import PyTree

from experiments.inversion.defenses import Method, Setting
from experiments.inversion.defenses._local import mean_step
from experiments.inversion.defenses._plain import aggregate, whole, without_noise
from experiments.inversion.sharing import Examples, SharedUpdate
from experiments.tasks.task import Task
from gujax.training import GradientFn, LossFn


def build(task: Task, setting: Setting, strength: float) -> SharedUpdate:
    """The mean over clients of what each adds up in its local steps."""
    clients, size = whole(strength), setting.local_steps * setting.batch_size
    step = mean_step(setting.local_steps, setting)

    def mean_over_clients(loss_fn: LossFn) -> GradientFn:
        of_client = step(loss_fn)

        def update(params: PyTree, examples: Examples) -> PyTree:
            own = jax.tree.map(lambda x: x.reshape(clients, size, *x.shape[1:]), examples)
            each = jax.vmap(of_client, (None, 0))(params, own)
            return jax.tree.map(lambda leaf: leaf.mean(axis=0), each)

        return update

    plain = aggregate(task, clients * size)
    adaptive = replace(plain.naive, expected=mean_over_clients)
    return replace(
        plain,
        share=without_noise(mean_over_clients(task.loss_fn)),
        # Of one step the mean over clients is the gradient of all their examples.
        adaptive=adaptive if setting.local_steps > 1 else None,
        num_clients=clients,
        client=without_noise(step(task.loss_fn)),
    )


METHOD = Method(
    position=85,
    label="sum of {:g} clients",
    build=build,
    strength=8,
    meaning="number of clients whose mean update the server sees",
    adaptations=("of a sum it models every client's steps",),
    by_default=False,
)
