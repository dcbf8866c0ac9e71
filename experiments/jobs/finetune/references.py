"""Reference fine-tunings, with which LiRA compares the released model."""

import jax
import numpy as np
from jaxtyping import Bool, Float

from experiments.jobs.finetune.options import Options
from gujax import training
from gujax.attacks.membership import lira
from gujax.attacks.texts import TokenScores


def halves_of(options: Options) -> Bool[np.ndarray, "references texts"]:
    """Which of all texts each reference is trained on; each text is in half of them."""
    key = jax.random.fold_in(jax.random.key(options.seed), 3)
    return np.asarray(training.random_halves(key, options.references, options.num_all))


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
