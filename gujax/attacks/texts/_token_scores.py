"""What a model says of every token of a text, from one forward pass."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from gujax.data import Tokens, bucket_by_length
from gujax.validation import check_count

_SAME_LENGTH = 16  # texts are padded to multiples of so many tokens


@dataclass(frozen=True, eq=False)
class TokenScores:
    """Scores of the tokens 1 to T − 1 of texts, each given those before it; the first has none.

    Attributes:
        log_probs: log-probability of each token, [N, T − 1], in nats; 0 for padding.
        means: mean log-probability of a token drawn from the model there, [N, T − 1].
        deviations: its standard deviation, [N, T − 1].
        likeliest: whether the token is the one of the largest probability, [N, T − 1].
        counted: false for padding, [N, T − 1].
    """

    log_probs: Float[np.ndarray, "texts predicted"]
    means: Float[np.ndarray, "texts predicted"]
    deviations: Float[np.ndarray, "texts predicted"]
    likeliest: Bool[np.ndarray, "texts predicted"]
    counted: Bool[np.ndarray, "texts predicted"]

    @property
    def losses(self) -> Float[np.ndarray, " texts"]:
        """Mean cross-entropy of each text, in nats per token."""
        return -self.log_probs.sum(axis=1) / self.counted.sum(axis=1)

    @property
    def log_odds(self) -> Float[np.ndarray, " texts"]:
        """log(p / (1 − p)) of each text, p the geometric mean of its tokens' probabilities.

        The signal φ of `gujax.attacks.membership.lira`: closer to Gaussian over models than the
        loss, as `scaled_confidence` is of a label.
        """
        losses = np.maximum(self.losses.astype(float), np.finfo(float).tiny)
        return -losses - np.log(-np.expm1(-losses))


def score_tokens(
    apply: Callable[[PyTree, Int[Array, "..."]], Float[Array, "..."]],
    params: PyTree,
    texts: Tokens,
    *,
    batch_size: int = 8,
    callback: Callable[[int, int], None] | None = None,
) -> TokenScores:
    """Scores of all tokens of texts, computed in batches of like lengths.

    Args:
        apply: maps ``(params, tokens)`` to logits, ``model.apply``.
        params: its parameters.
        texts: the texts.
        batch_size: texts per forward pass.
        callback: called after each with the number of texts done, and of all.

    Returns:
        The scores, on the host.

    Raises:
        ValueError: if ``batch_size`` is not positive.
    """
    check_count("batch_size", batch_size)
    width = texts.tokens.shape[1] - 1
    found = [np.zeros((len(texts), width), np.float32) for _ in range(3)]
    likeliest = np.zeros((len(texts), width), bool)
    done = 0
    for bucket in bucket_by_length(texts, _SAME_LENGTH):
        for start in range(0, len(bucket.positions), batch_size):
            rows = np.arange(start, min(start + batch_size, len(bucket.positions)))
            # The last batch is filled up, so that one program serves all.
            filled = np.resize(rows, batch_size)
            scores = _scores(apply, params, jnp.asarray(bucket.texts.tokens[filled]))
            places = bucket.positions[rows]
            for target, values in zip((*found, likeliest), jax.device_get(scores), strict=True):
                target[places, : values.shape[1]] = values[: len(rows)]
            done += len(rows)
            if callback is not None:
                callback(done, len(texts))
    counted = texts.mask[:, 1:]
    log_probs, means, deviations = (np.where(counted, values, 0) for values in found)
    return TokenScores(log_probs, means, deviations, likeliest & counted, counted)


@partial(jax.jit, static_argnums=0)
def _scores(apply, params, tokens):
    logits = apply(params, tokens)[:, :-1]
    log_probs = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1)
    probabilities = jnp.exp(log_probs)
    means = jnp.sum(probabilities * log_probs, axis=-1)
    variances = jnp.sum(probabilities * jnp.square(log_probs - means[..., None]), axis=-1)
    picked = jnp.take_along_axis(log_probs, tokens[:, 1:, None], axis=-1)[..., 0]
    likeliest = jnp.argmax(logits, axis=-1) == tokens[:, 1:]
    return picked, means, jnp.sqrt(variances), likeliest
