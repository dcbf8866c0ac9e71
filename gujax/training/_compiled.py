"""The compiled part of training: steps and epochs under `lax.scan`, models under `vmap`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from gujax.gradients import value_and_per_example_grads
from gujax.hashing import hashable
from gujax.training._averaging import released_params
from gujax.training._batches import Batch, BatchPlan, epoch_batches
from gujax.training._loss import Apply, LossFn, accuracy, predict
from gujax.training._result import EpochMetrics, StepMetrics, aggregation_state
from gujax.transforms import AggregationState

Optimizer: TypeAlias = optax.GradientTransformation
Method = Literal["factored", "dense"]


@dataclass(frozen=True)
class Constant:
    """The same optimizer for every key; compares by the optimizer, so jit finds it again."""

    optimizer: Optimizer

    def __call__(self, key: PRNGKeyArray) -> Optimizer:
        return self.optimizer


@dataclass(frozen=True)
class Program:
    """All that is static: a different program is a different compilation."""

    loss_fn: LossFn
    make_optimizer: Callable[[PRNGKeyArray], Optimizer]
    plan: BatchPlan
    method: Method
    apply: Apply | None
    randomized: bool

    def __post_init__(self) -> None:
        """Make functions ones that can be hashed."""
        for name in ("loss_fn", "make_optimizer", "apply"):
            object.__setattr__(self, name, hashable(getattr(self, name)))


class Data(NamedTuple):
    """The arrays that all models share."""

    x: Float[Array, "examples ..."]
    y: Int[Array, " examples"]
    ids: Int[Array, " examples"]
    test_x: Float[Array, "test ..."] | None
    test_y: Int[Array, " test"] | None
    shared: tuple[PyTree, ...] = ()


@partial(jax.jit, static_argnames=("program", "many"))
def init_optimizer(program: Program, params: PyTree, keys: PRNGKeyArray, *, many: bool) -> PyTree:
    """State of the optimizer before the first step, of one model or of many."""

    def init(params: PyTree, key: PRNGKeyArray) -> PyTree:
        opt_state = program.make_optimizer(key).init(params)
        state = aggregation_state(opt_state)
        slots = state.batch_size if hasattr(state, "batch_size") else state.weights.shape[0]
        if slots != program.plan.physical_size:
            raise ValueError(
                f"the optimizer's first transformation has batch_size={slots}; batches "
                f"have {program.plan.physical_size} slots, so give it batch_size="
                f"{program.plan.physical_size} (physical_size of gujax.training.plan_batches)"
            )
        return opt_state

    return (jax.vmap(init) if many else init)(params, keys)


@partial(jax.jit, static_argnames=("program", "many"))
def train_epochs(
    program: Program,
    data: Data,
    members: Bool[Array, "*models examples"],
    optimizer_keys: PRNGKeyArray,
    epoch_keys: PRNGKeyArray,
    params: PyTree,
    opt_state: PyTree,
    labels: Array | None = None,
    *,
    many: bool,
) -> tuple[PyTree, PyTree, tuple[StepMetrics, EpochMetrics]]:
    """Some epochs of one model, or of many by ``vmap``; of many, each may have its own labels."""

    def one(
        members: Bool[Array, " examples"],
        optimizer_key: PRNGKeyArray,
        epoch_keys: PRNGKeyArray,
        params: PyTree,
        opt_state: PyTree,
        labels: Array | None,
    ):
        optimizer = optax.with_extra_args_support(program.make_optimizer(optimizer_key))

        def epoch(carry, key):
            batch_at = epoch_batches(program.plan, key, members)
            step = partial(
                _step, program, optimizer, data, data.y if labels is None else labels, key, batch_at
            )
            carry, steps = jax.lax.scan(step, carry, jnp.arange(program.plan.steps_per_epoch))
            released = released_params(*carry)
            return carry, (steps, _evaluate(program.apply, released, data, members))

        carry, metrics = jax.lax.scan(epoch, (params, opt_state), epoch_keys)
        return *carry, metrics

    given = members, optimizer_keys, epoch_keys, params, opt_state, labels
    return (jax.vmap(one) if many else one)(*given)


def _step(
    program: Program,
    optimizer: optax.GradientTransformationExtraArgs,
    data: Data,
    labels: Array,
    epoch_key: PRNGKeyArray,
    batch_at: Callable[[Int[Array, ""]], Batch],
    carry: tuple[PyTree, PyTree],
    number: Int[Array, ""],
) -> tuple[tuple[PyTree, PyTree], StepMetrics]:
    params, opt_state = carry
    batch = batch_at(number)
    examples: tuple[Array, ...] = (data.x[batch.positions], labels[batch.positions])
    if program.randomized:
        # Not the keys that the batches are drawn with: those of Poisson sampling are folded too.
        noise_key = jax.random.fold_in(epoch_key, program.plan.steps_per_epoch + number)
        examples += (jax.random.split(noise_key, program.plan.physical_size),)
    losses, grads = value_and_per_example_grads(program.loss_fn, method=program.method)(
        params, examples, *data.shared
    )
    updates, new_opt_state = optimizer.update(
        grads, opt_state, params, example_ids=data.ids[batch.positions], mask=batch.mask
    )
    new = optax.apply_updates(params, updates), new_opt_state
    if program.plan.may_be_empty:
        filled = jnp.any(batch.mask)
        new = jax.tree.map(lambda after, before: jnp.where(filled, after, before), new, carry)
    return new, _step_metrics(batch, losses, aggregation_state(new_opt_state))


def _step_metrics(
    batch: Batch, losses: Float[Array, " batch"], state: AggregationState
) -> StepMetrics:
    size = jnp.sum(batch.mask)
    uniqueness = state.uniqueness
    return StepMetrics(
        loss=jnp.sum(jnp.where(batch.mask, losses, 0)) / jnp.maximum(size, 1),
        batch_size=size,
        contributing=jnp.sum(batch.mask & (state.weights > 0)),
        max_uniqueness=None if uniqueness is None else jnp.max(uniqueness),
        overflow=batch.overflow,
    )


def _evaluate(
    apply: Apply | None, params: PyTree, data: Data, members: Bool[Array, " examples"]
) -> EpochMetrics:
    if apply is None:
        return EpochMetrics(None, None)
    train_accuracy = accuracy(predict(apply, params, data.x), data.y, members)
    if data.test_x is None or data.test_y is None:
        return EpochMetrics(train_accuracy, None)
    return EpochMetrics(train_accuracy, accuracy(predict(apply, params, data.test_x), data.test_y))
