"""What auditing costs: steps timed side by side in one process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from experiments.framework.timing import interleave, summarize_times
from experiments.membership.defenses import Defense, aggregation
from experiments.tasks.task import Task
from gujax import models
from gujax.gradients import per_example_grads
from gujax.training import batch_gradient, cross_entropy_loss

_SECONDS_PER_STEP = 1.0


@dataclass(frozen=True)
class StepCost:
    """Cost of one training step.

    Attributes:
        milliseconds: Median time.
        relative: Time over that of the plain step, median of ratios taken side by side.
        memory_mib: Temporary memory of the compiled step, by XLA's own analysis; None where the
            backend does not say.
    """

    milliseconds: float
    relative: float
    memory_mib: float | None


def measure_steps(
    loss_fn: Callable,
    params: PyTree,
    batch: tuple[np.ndarray, np.ndarray],
    optimizers: Mapping[str, optax.GradientTransformation],
    descent: optax.GradientTransformation,
    rounds: int = 15,
) -> dict[str, StepCost]:
    """Times a plain step and the step of every optimizer, interleaved.

    The plain step is the gradient of the mean loss, followed by `descent`: no per-example
    quantity at all. Samples alternate between the steps, so that a busy machine slows all alike.

    Args:
        optimizers: Chains that start with one of `gujax.transforms`, by name.

    Returns:
        Costs by name, `"plain"` first.
    """

    def plain(params, state, batch):
        updates, state = descent.update(batch_gradient(loss_fn)(params, batch), state, params)
        return optax.apply_updates(params, updates), state

    def audited(optimizer):
        def step(params, state, batch):
            grads = per_example_grads(loss_fn)(params, batch)
            ids = jnp.arange(len(batch[1]))
            updates, state = optimizer.update(grads, state, params, example_ids=ids)
            return optax.apply_updates(params, updates), state

        return step

    steps = {"plain": (plain, descent)}
    steps |= {name: (audited(optimizer), optimizer) for name, optimizer in optimizers.items()}
    compiled, arguments = {}, {}
    for name, (step, optimizer) in steps.items():
        arguments[name] = (params, optimizer.init(params), jax.tree.map(jnp.asarray, batch))
        compiled[name] = jax.jit(step).lower(*arguments[name]).compile()

    def call(name):
        return lambda: jax.block_until_ready(compiled[name](*arguments[name]))

    seconds = interleave({name: call(name) for name in steps}, _SECONDS_PER_STEP, rounds)
    return {
        name: StepCost(time.median, relative.median, _memory_mib(compiled[name]))
        for name, (time, relative) in summarize_times(seconds, "plain").items()
    }


def _memory_mib(step) -> float | None:
    analysis = step.memory_analysis()
    return None if analysis is None else analysis.temp_size_in_bytes / 2**20


def reference_costs(
    task: Task, batch_size: int, defenses: Sequence[Defense], relative_ridge: float
) -> dict[str, dict[str, StepCost]]:
    """Costs by model and step, on the run's own model and on a larger one for scale."""
    train = task.dataset.train
    own = train.x[:batch_size], train.y[:batch_size]
    rng = np.random.default_rng(0)
    random = rng.random((128, 784), np.float32), rng.integers(0, 10, 128).astype(np.int32)
    large = models.mlp((784,), 10, (1024, 1024))
    cases = {
        f"{task.model_name}, B = {len(own[1])}": (task.model, own, 15),
        "MLP 784-1024-1024-10, B = 128": (large, random, 7),
    }
    follow = optax.sgd(0.1, momentum=0.9)
    costs = {}
    for name, (model, batch, rounds) in cases.items():
        size = len(batch[1])
        chains = {
            _step_name(defense): optax.chain(
                aggregation(defense, relative_ridge, size, size), follow
            )
            for defense in (defenses if model is task.model else defenses[:1])
            # Steps of their own: not plain ones on fewer examples, and without accounted noise.
            if defense.method.removes is None and defense.method.account is None
        }
        params = model.init(jax.random.key(0))
        loss_fn = cross_entropy_loss(model)
        costs[name] = measure_steps(loss_fn, params, batch, chains, follow, rounds)
    return costs


def _step_name(defense: Defense) -> str:
    return defense.label if defense.method.measures_anyway else f"{defense.label}, audited"
