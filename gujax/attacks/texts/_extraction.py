"""Whether a model says the rest of a text, given its beginning."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from gujax.attacks.texts._token_scores import TokenScores
from gujax.validation import check_count, check_probability


class Extraction(NamedTuple):
    """Targeted extraction of each text's end, given its first tokens.

    Attributes:
        greedy: whether taking the likeliest token each time gives exactly the end, [N].
        log_probability: log-probability that a draw (temperature 1) is exactly the end, [N], nats.
        suffix: number of tokens of the end, [N]; 0 where the text is no longer than its beginning,
            which then cannot be extracted.
    """

    greedy: Bool[np.ndarray, " texts"]
    log_probability: Float[np.ndarray, " texts"]
    suffix: Int[np.ndarray, " texts"]

    def within(self, draws: int, probability: float = 0.5) -> Bool[np.ndarray, " texts"]:
        """Whether so many draws hold the end at least once with at least this probability, [N].

        The (n, p)-discoverable extraction of Hayes et al. 2024 (arXiv 2410.19482).

        Args:
            draws: n.
            probability: p.

        Raises:
            ValueError: if ``draws`` is not positive or ``probability`` is outside (0, 1).
        """
        check_count("draws", draws)
        check_probability("probability", probability)
        # 1 − (1 − q)^n ≥ p, in a form that stays exact for tiny q.
        with np.errstate(divide="ignore"):
            missed = draws * np.log1p(-np.exp(self.log_probability))
        return (missed <= np.log1p(-probability)) & (self.suffix > 0)


def extract(scores: TokenScores, prefix: int) -> Extraction:
    """Extraction of each text's end by someone who knows its first tokens.

    Nothing is generated: the likeliest continuation is the text if and only if each of its tokens
    is the likeliest after those before it, and the probability of a draw is the product.

    Args:
        scores: of the texts.
        prefix: number of first tokens that are known, at least 1.

    Returns:
        What is extracted.

    Raises:
        ValueError: if ``prefix`` is not positive, or no text is longer.
    """
    check_count("prefix", prefix)
    asked = scores.counted.copy()
    asked[:, : prefix - 1] = False  # column 0 is token 1
    suffix = asked.sum(axis=1)
    if not suffix.any():
        raise ValueError(f"prefix={prefix}: no text has more tokens; choose a shorter prefix")
    there = suffix > 0
    greedy = np.all(scores.likeliest | ~asked, axis=1) & there
    log_probability = np.sum(np.where(asked, scores.log_probs, 0), axis=1, dtype=np.float64)
    return Extraction(greedy, np.where(there, log_probability, -np.inf), suffix)
