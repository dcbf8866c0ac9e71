"""The texts of a batch, from the gradients of attention."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gujax.attacks.inversion._exact import NotInvertible
from gujax.validation import check_count

AttentionInputs = Callable[
    [Int[Array, "texts t"]], tuple[Float[Array, "texts t width"], Float[Array, "texts t width"]]
]

_ROWS = 256  # texts that are run at once, always as many, so that one program serves all


class Texts(NamedTuple):
    """What was recovered of a batch of texts.

    Attributes:
        tokens: the texts, in any order, each once, [texts, t].
        distance: of each text, the largest relative distance of one of its second layer's inputs
            from the span of the gradient: zero but for rounding if the text is in the batch,
            [texts].
        rank: of the first layer's gradient, at most the number of tokens in the batch.
    """

    tokens: Int[np.ndarray, "texts t"]
    distance: Float[np.ndarray, " texts"]
    rank: int


def dager(
    query_key_gradients: Sequence[Float[np.ndarray | Array, "width outputs"]],
    attention_inputs: AttentionInputs,
    *,
    vocabulary: int,
    context: int,
    tolerance: float | None = None,
    max_texts: int = 65536,
) -> Texts:
    """The texts of a batch, from the first two attention layers' gradients of queries and keys.

    Petrov, Dimitrov, Baader, Müller, Vechev 2024, "DAGER: Exact Gradient Inversion for Large
    Language Models" (arXiv 2405.15586), for decoders. The gradient of a projection is Xᵀ D: its
    columns are combinations of the layer's inputs, and with fewer tokens in the batch than the
    width they span just these. In the first layer an input is a token at a position, so every token
    of the vocabulary is tried at every position. In the second it depends on all tokens up to that
    position, so texts are put together from the left, and only those whose every input lies in the
    span are kept.

    The attacker knows the parameters, needs no labels, and is not told the size of the batch. What
    the model does not read is not recovered: of a text whose tokens are each predicted from those
    before, the last is a label only.

    Args:
        query_key_gradients: of the first two layers, gradients of the kernels of queries and keys
            side by side, [width, outputs] as Flax keeps them.
        attention_inputs: maps texts [texts, t] to what the first two layers' projections are given,
            each [texts, t, width], as ``gujax.models.gpt_attention_inputs`` does.
        vocabulary: number of tokens.
        context: length t of a text.
        tolerance: largest relative distance from the span that is taken for zero; if None, 1e-6 for
            float64 and 2e-3 for float32.
        max_texts: most texts that are tried at one position.

    Returns:
        The texts that were recovered.

    Raises:
        NotInvertible: if a gradient is zero or not finite, its rank is that of all inputs (as many
            tokens as the width, noise, pruning), no token or text fits some position, or too
            many do.
        ValueError: if there are not two gradients, or one is not a matrix.
    """
    check_count("vocabulary", vocabulary)
    check_count("context", context)
    if len(query_key_gradients) != 2 or any(np.ndim(g) != 2 for g in query_key_gradients):
        raise ValueError(
            f"query_key_gradients holds shapes {[np.shape(g) for g in query_key_gradients]}; "
            "needed are the first two layers', each [width, outputs]"
        )
    if tolerance is None:
        tolerance = 1e-6 if query_key_gradients[0].dtype == np.float64 else 2e-3
    spans = [_span(np.asarray(g), layer) for layer, g in enumerate(query_key_gradients)]
    first, second = (partial(_inputs, attention_inputs, layer) for layer in (0, 1))

    fitting = _fitting_tokens(first, spans[0], vocabulary, context, tolerance)
    texts = np.zeros((1, 0), np.int32)
    distance = np.zeros(1)
    for position in range(context):
        tokens = np.flatnonzero(fitting[:, position])
        if not len(tokens):
            raise NotInvertible(
                f"no token fits position {position} within tolerance={tolerance:g}: the gradient "
                "is not of these parameters, or it is noisy"
            )
        if len(texts) * len(tokens) > max_texts:
            raise NotInvertible(
                f"{len(tokens)} tokens fit position {position} and {len(texts)} texts the "
                f"positions before, more than max_texts={max_texts} allow: lower the tolerance"
            )
        longer = np.concatenate(
            [np.repeat(texts, len(tokens), 0), np.tile(tokens, len(texts))[:, None]], axis=1
        )
        away = np.maximum(
            np.repeat(distance, len(tokens)), _distances(second, spans[1], longer, context)
        )
        kept = away <= tolerance
        texts, distance = longer[kept].astype(np.int32), away[kept]
        if not len(texts):
            raise NotInvertible(
                f"no text fits the positions up to {position} within tolerance={tolerance:g}: the "
                "second layer's gradient is not of these parameters, or it is noisy"
            )
    return Texts(texts, distance, len(spans[0]))


@partial(jax.jit, static_argnums=(0, 1))
def _inputs(
    attention_inputs: AttentionInputs, layer: int, texts: Int[Array, "rows t"]
) -> Float[Array, "rows t width"]:
    """Of one layer: for the first, the block behind it is not computed for every token."""
    return attention_inputs(texts)[layer]


def _span(gradient: Float[np.ndarray, "width outputs"], layer: int) -> Float[np.ndarray, "rank w"]:
    """An orthonormal basis of what the gradient's columns span."""
    if not np.isfinite(gradient).all() or not gradient.any():
        raise NotInvertible(
            f"the gradient of layer {layer}'s queries and keys is zero or not finite; a text of "
            "one token gives none"
        )
    left, scales, _ = np.linalg.svd(gradient, full_matrices=False)
    floor = np.sqrt(gradient.size) * np.finfo(gradient.dtype).eps * scales[0]
    rank = int(np.sum(scales > floor))
    # A layer norm before the projection takes one direction away from all inputs.
    if rank >= len(gradient) - 1:
        raise NotInvertible(
            f"the gradient of layer {layer}'s queries and keys has rank {rank}, that of all inputs "
            f"of width {len(gradient)}: the batch has too many tokens, or the gradient is noisy or "
            "pruned"
        )
    return left[:, :rank].T


def _fitting_tokens(
    first: Callable[[Int[Array, "rows t"]], Float[Array, "rows t width"]],
    span: Float[np.ndarray, "rank width"],
    vocabulary: int,
    context: int,
    tolerance: float,
) -> Bool[np.ndarray, "vocabulary context"]:
    """Which tokens the first layer may have seen at which position."""
    everywhere = np.repeat(np.arange(vocabulary, dtype=np.int32)[:, None], context, axis=1)
    parts = []
    for rows in _in_rows(everywhere):
        parts.append(_away(np.asarray(first(rows)), span))
    return np.concatenate(parts)[:vocabulary] <= tolerance


def _distances(
    second: Callable[[Int[Array, "rows t"]], Float[Array, "rows t width"]],
    span: Float[np.ndarray, "rank width"],
    texts: Int[np.ndarray, "texts t"],
    context: int,
) -> Float[np.ndarray, " texts"]:
    """How far the second layer's input at the last position is from the span."""
    last = texts.shape[1] - 1
    # What comes after a position does not change it.
    padded = np.pad(texts, ((0, 0), (0, context - texts.shape[1])))
    parts = [_away(np.asarray(second(rows)[:, last]), span) for rows in _in_rows(padded)]
    return np.concatenate(parts)[: len(texts)]


def _in_rows(texts: Int[np.ndarray, "texts t"]) -> list[Int[Array, "rows t"]]:
    """The texts in parts of equal size, the last filled up."""
    missing = -len(texts) % _ROWS
    filled = np.concatenate([texts, np.repeat(texts[:1], missing, axis=0)])
    return [jnp.asarray(part) for part in np.split(filled, len(filled) // _ROWS)]


def _away(
    x: Float[np.ndarray, "... width"], span: Float[np.ndarray, "rank width"]
) -> Float[np.ndarray, "..."]:
    """Relative distance from a span."""
    rest = x - (x @ span.T) @ span
    return np.linalg.norm(rest, axis=-1) / np.linalg.norm(x, axis=-1)
