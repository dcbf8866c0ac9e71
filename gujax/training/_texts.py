"""The loss of a language model on a text, and texts as a split to train on."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from gujax.data import Split, Tokens

TextLoss = Callable[..., Float[Array, ""]]


def next_token_loss(
    apply: Callable[..., Float[Array, "t vocabulary"]], reduction: Literal["mean", "sum"] = "mean"
) -> TextLoss:
    """Cross-entropy of a text's tokens, each predicted from those before it.

    Args:
        apply: maps ``(params, *shared, tokens)`` to logits: ``model.apply``, or ``lora(...).apply``
            with the frozen parameters as what is shared.
        reduction: ``"mean"`` over the predicted tokens, so that every text weighs the same, or
            ``"sum"``. Gradients, and so uniqueness, depend on it: by the sum, long texts are
            unique.

    Returns:
        ``loss_fn(params, (tokens, length), *shared)``, in nats, for one text [T] of which the first
        ``length`` tokens count; nothing predicts the first.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction={reduction!r} must be 'mean' or 'sum'")

    def loss_fn(
        params: PyTree, example: tuple[Int[Array, " t"], Int[Array, ""]], *shared: PyTree
    ) -> Float[Array, ""]:
        tokens, length = example
        logits = apply(params, *shared, tokens)[:-1]
        picked = jnp.take_along_axis(logits, tokens[1:, None], axis=-1)[:, 0]
        losses = jax.nn.logsumexp(logits, axis=-1) - picked
        counted = jnp.arange(1, len(tokens)) < length
        total = jnp.sum(jnp.where(counted, losses, 0))
        return total / (length - 1) if reduction == "mean" else total

    return loss_fn


def text_split(texts: Tokens) -> Split:
    """Texts as a split for `train`: x are tokens [N, T], y the lengths [N]."""
    ids = np.arange(len(texts), dtype=np.int32)
    return Split(x=texts.tokens, y=texts.lengths, ids=ids)
