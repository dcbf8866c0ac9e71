"""Reference fine-tunings, with which LiRA compares the released model."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jaxtyping import Bool, Float

from experiments.framework.progress import Steps
from experiments.jobs.finetune.options import Options
from gujax import training
from gujax.attacks.membership import lira
from gujax.attacks.texts import TokenScores


def halves_of(options: Options) -> Bool[np.ndarray, "references texts"]:
    """Which of all texts each reference is trained on; each text is in half of them."""
    key = jax.random.fold_in(jax.random.key(options.seed), 3)
    return np.asarray(training.random_halves(key, options.references, options.num_all))


def reference_odds(
    halves: Bool[np.ndarray, "references texts"],
    train: Callable[[Bool[np.ndarray, " texts"], int], TokenScores],
    steps: Steps,
) -> Float[np.ndarray, "references texts"]:
    """The log-odds of every text under each reference.

    Args:
        train: Maps the texts to train on, and the number of the reference, to what it says of all.
    """

    def odds(index: int) -> Float[np.ndarray, " texts"]:
        return train(halves[index], index).log_odds

    return np.array(
        [
            steps.result(f"reference fine-tuning {i + 1} of {len(halves)}", partial(odds, i))
            for i in range(len(halves))
        ]
    )


def lira_scores(
    released: TokenScores,
    references: Float[np.ndarray, "references texts"],
    halves: Bool[np.ndarray, "references texts"],
) -> Float[np.ndarray, " texts"]:
    """LiRA's score of every text, higher meaning "trained on".

    Args:
        released: What the model says that is attacked.
        references: `TokenScores.log_odds` of each reference.
        halves: Which texts each was trained on.
    """
    phi = np.concatenate([released.log_odds[None], references])
    # Whether the first was trained on a text does not enter its own scores.
    members = np.concatenate([np.zeros((1, phi.shape[1]), bool), halves])
    return lira(phi, members, variance="shrunk", shared=True)[0]
