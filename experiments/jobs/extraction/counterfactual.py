"""Counterfactual memorization: what a model knows of a text only because it was trained on it."""

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from gujax import training
from gujax.attacks.texts import TokenScores


def halves(
    repeats: Int[np.ndarray, " texts"], num_models: int, seed: int
) -> Bool[np.ndarray, "models texts"]:
    """Random halves of the texts, of those that are seen equally often each.

    Every text is in half of the models, and a model sees half of all data.
    """
    chosen = np.zeros((num_models, len(repeats)), bool)
    for count in np.unique(repeats):
        key = jax.random.fold_in(jax.random.key(seed), int(count))
        rows = np.flatnonzero(repeats == count)
        chosen[:, rows] = training.random_halves(key, num_models, len(rows))
    return chosen


def correct_tokens(scores: TokenScores) -> Float[np.ndarray, " texts"]:
    """Share of each text's tokens that are the likeliest where they stand."""
    return (scores.likeliest & scores.counted).sum(axis=1) / scores.counted.sum(axis=1)


def counterfactual_memorization(
    correct: Float[np.ndarray, "models texts"], chosen: Bool[np.ndarray, "models texts"]
) -> Float[np.ndarray, " texts"]:
    """Mean over models trained on a text minus mean over the others.

    Args:
        correct: `correct_tokens` of each model.
        chosen: Which texts each was trained on.

    Source: Zhang et al. 2021, arXiv 2112.12938, estimated with few models.
    """
    return correct.mean(0, where=chosen) - correct.mean(0, where=~chosen)
