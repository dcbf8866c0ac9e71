"""Scores of membership of texts, higher meaning "member"."""

import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gujax.attacks.texts._token_scores import TokenScores
from gujax.validation import check_probability

# What each is read off, in words.
MEMBERSHIP_SCORES = {
    "loss": "mean loss of the text",
    "zlib": "loss over the length of the text compressed by zlib",
    "min_k": "Min-K%++, the least expected tokens",
    "reference": "loss against that of the model before fine-tuning",
}


def membership_scores(
    scores: TokenScores,
    texts: Sequence[str],
    reference: TokenScores,
    share: float = 0.2,
) -> dict[str, Float[np.ndarray, " texts"]]:
    """Scores of every text by the attacks that need no shadow models.

    - ``"loss"``: minus the mean loss (Yeom et al. 2018, arXiv 1709.01604).
    - ``"zlib"``: minus the summed loss over the bytes of the compressed text; ``"reference"``: by
      how much the loss is below that of a model that was not trained on the texts (Carlini et al.
      2021, arXiv 2012.07805).
    - ``"min_k"``: (log p − mean) / deviation of each token, over the predictions at its place; the
      mean over the lowest share (Zhang et al. 2024, arXiv 2404.02936).

    Args:
        scores: of the model that is attacked.
        texts: the texts themselves, of the tokens that were scored.
        reference: scores of the same texts by the model before fine-tuning.
        share: of the tokens, for ``"min_k"``.

    Returns:
        Scores by attack, [N] each.

    Raises:
        ValueError: if there is not one text per row, or ``share`` is outside (0, 1).
    """
    check_probability("share", share)
    if len(texts) != len(scores.losses) or len(texts) != len(reference.losses):
        raise ValueError(
            f"texts has {len(texts)} entries, scores {len(scores.losses)} and reference "
            f"{len(reference.losses)}; give the same texts"
        )
    compressed = np.array([len(zlib.compress(text.encode())) for text in texts])
    totals = -scores.log_probs.sum(axis=1)
    # A prediction without any doubt has no deviation; its token is as expected.
    spread = np.where(scores.deviations > 0, scores.deviations, 1)
    expected = np.where(scores.counted, (scores.log_probs - scores.means) / spread, np.inf)
    kept = np.maximum(1, np.round(share * scores.counted.sum(axis=1))).astype(int)
    lowest = np.sort(expected, axis=1)
    return {
        "loss": -scores.losses,
        "zlib": -totals / compressed,
        "min_k": np.array([row[:count].mean() for row, count in zip(lowest, kept)]),
        "reference": reference.losses - scores.losses,
    }
