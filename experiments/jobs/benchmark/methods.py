"""One training step of every method, all with the same signature."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import jax_privacy
import optax
from jaxtyping import Array, Float, PyTree

import gujax
from experiments.jobs.benchmark.cases import Case
from gujax import transforms
from gujax.training import batch_gradient

LEARNING_RATE = 0.5
L2_NORM_CLIP = 1.0
RELATIVE_RIDGE = 0.1
GATE_QUANTILE = 0.9

# (params, state, batch, noise_multiplier) -> (params, state)
Step = Callable[[PyTree, Any, PyTree, Float[Array, ""]], tuple[PyTree, Any]]


@dataclass(frozen=True)
class Method:
    """How to make a step of stochastic gradient descent.

    Attributes:
        ours: Whether it is a method of gujax.
        released: What the update is: methods of one kind must give the same update when the noise
            is zero.
        make: Maps a case to the initial state of its aggregation and to its step. The noise is an
            argument of the step so that the very program that is timed with noise can be checked
            without; methods that add none ignore it.
    """

    name: str
    ours: bool
    released: str
    make: Callable[[Case], tuple[Any, Step]]


def _stateless(update_fn: Callable[[PyTree, PyTree], PyTree]) -> tuple[Any, Step]:
    """The step along ``update_fn(params, batch)``, without noise."""

    def step(params, state, batch, noise_multiplier):
        return _descend(params, update_fn(params, batch)), state

    return (), step


def _plain(case: Case) -> tuple[Any, Step]:
    return _stateless(batch_gradient(case.loss_fn))


def _aggregated(
    case: Case,
    aggregation: Callable[[Float[Array, ""]], optax.GradientTransformation],
    method: Any = "factored",
) -> tuple[Any, Step]:
    """The step of a transformation of per-example gradients; it is made anew for every noise."""
    grads_fn = gujax.per_example_grads(case.loss_fn, method=method)

    def step(params, state, batch, noise_multiplier):
        transformation = optax.with_extra_args_support(aggregation(noise_multiplier))
        update, state = transformation.update(
            grads_fn(params, batch), state, params, example_ids=jnp.arange(case.batch_size)
        )
        return _descend(params, update), state

    return aggregation(jnp.ones(())).init(case.params), step


def _audit(case: Case, method: Any = "factored") -> tuple[Any, Step]:
    size = case.batch_size
    measured = transforms.mean(relative_ridge=RELATIVE_RIDGE, batch_size=size, num_examples=size)
    return _aggregated(case, lambda noise: measured, method)


def _gate(case: Case) -> tuple[Any, Step]:
    gated = transforms.uniqueness_gate(
        quantile=GATE_QUANTILE, relative_ridge=RELATIVE_RIDGE, batch_size=case.batch_size
    )
    return _aggregated(case, lambda noise: gated)


def _dp_sgd(case: Case) -> tuple[Any, Step]:
    size = case.batch_size
    return _aggregated(
        case,
        lambda noise: transforms.dp_sgd(
            L2_NORM_CLIP, noise, size, jax.random.key(0), batch_size=size
        ),
    )


def _clip(case: Case) -> tuple[Any, Step]:
    grads_fn = gujax.per_example_grads(case.loss_fn)

    def clipped(params, batch):
        grads = grads_fn(params, batch)
        norms = jnp.sqrt(gujax.squared_norms(grads))
        weights = jnp.minimum(1.0, L2_NORM_CLIP / norms) / case.batch_size
        return gujax.weighted_sum(grads, weights)

    return _stateless(clipped)


def _jax_privacy(case: Case) -> tuple[Any, Step]:
    return _stateless(
        jax_privacy.clipped_grad(
            case.loss_fn,
            l2_clip_norm=L2_NORM_CLIP,
            normalize_by=case.batch_size,
            keep_batch_dim=False,
        )
    )


def _optax(case: Case) -> tuple[Any, Step]:
    return _aggregated(
        case,
        lambda noise: optax.contrib.differentially_private_aggregate(
            L2_NORM_CLIP, noise, jax.random.key(0)
        ),
        method="dense",
    )


def _descend(params: PyTree, update: PyTree) -> PyTree:
    return jax.tree.map(lambda p, u: p - LEARNING_RATE * u, params, update)


PLAIN, AUDIT, DENSE_AUDIT = "plain step", "gujax audit", "vmap(grad) audit"
GATE, DP_SGD, CLIP = "gujax gate", "gujax dp_sgd", "gujax clip, no noise"
CLIPPED_GRAD, OPTAX = "jax_privacy clipped_grad", "optax dp_aggregate"

METHODS = (
    Method(PLAIN, False, "mean", _plain),
    Method(AUDIT, True, "mean", _audit),
    Method(GATE, True, "gated mean", _gate),
    Method(CLIP, True, "clipped mean", _clip),
    Method(DP_SGD, True, "clipped mean", _dp_sgd),
    Method(DENSE_AUDIT, False, "mean", lambda case: _audit(case, "dense")),
    Method(CLIPPED_GRAD, False, "clipped mean", _jax_privacy),
    Method(OPTAX, False, "clipped mean", _optax),
)
