"""What a step of a language model takes, counted from shapes alone."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

import gujax
from experiments.jobs.benchmark.costs import operations
from experiments.tasks.language import whole_text_loss
from gujax import models
from gujax.training import batch_gradient

ITEM = 2  # bytes of a number in bfloat16, in which the model is


class Work(NamedTuple):
    """What one step takes, on however many devices.

    Attributes:
        parameters: Number of parameters.
        operations: Floating-point operations of the gradient of a plain step.
        activations: Bytes kept between forward and backward pass.
        scores: Those of them that are T × T, of attention.
        added_operations: Floating-point operations that the audit adds.
        added_bytes: Bytes that it forms, to write them and read them again.
        kept: Bytes of per-example gradients or their factors, kept until they are used.
    """

    parameters: float
    operations: float
    activations: float
    scores: float
    added_operations: float
    added_bytes: float
    kept: float


def work(config: models.LanguageConfig, texts: int, length: int) -> Work:
    """What a step on so many texts of so many tokens takes.

    All blocks of a model are alike: what so many of them take follows from one and from two.
    """
    one, two = (_traced(replace(config, layers=n), texts, length) for n in (1, 2))
    more = config.layers - 1
    return Work(*(first + more * (second - first) for first, second in zip(one, two)))


def _traced(config: models.LanguageConfig, texts: int, length: int) -> Work:
    model = models.language_model(config)
    loss_fn = whole_text_loss(model)
    params = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.bfloat16),
        jax.eval_shape(model.init, jax.random.key(0)),
    )
    text = jax.ShapeDtypeStruct((length + 1,), jnp.int32)
    batch = jax.ShapeDtypeStruct((texts, length + 1), jnp.int32)
    told = gujax.explain(loss_fn, params, text, batch_size=texts).parameters

    def remembered(params: PyTree, batch: PyTree) -> PyTree:
        return jax.vjp(lambda p: jax.vmap(loss_fn, (None, 0))(p, batch), params)[1]

    leaves = jax.tree.leaves(jax.eval_shape(remembered, params, batch))
    # What lacks the axis of texts is no activation: parameters, angles of positions.
    kept = [leaf for leaf in leaves if leaf.shape[:1] == (texts,)]
    scores = [leaf for leaf in kept if leaf.ndim > 3 and leaf.shape[-2:] == (length, length)]
    return Work(
        sum(leaf.size for leaf in jax.tree.leaves(params)),
        operations(batch_gradient(loss_fn), params, batch),
        _bytes(kept),
        _bytes(scores),
        sum(parameter.added_flops for parameter in told),
        sum(parameter.added_bytes for parameter in told),
        ITEM * sum(parameter.memory for parameter in told),
    )


def _bytes(leaves: list[jax.ShapeDtypeStruct]) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
