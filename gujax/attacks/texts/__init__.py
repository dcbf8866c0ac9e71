"""What a language model gives away of its training texts: membership, and the texts themselves.

All of it is read off one forward pass per text: `score_tokens`.
"""

from gujax._extras import extra

with extra("attacks"):
    from gujax.attacks.texts._extraction import Extraction, extract
    from gujax.attacks.texts._membership import MEMBERSHIP_SCORES, membership_scores
    from gujax.attacks.texts._token_scores import TokenScores, score_tokens

__all__ = [
    "MEMBERSHIP_SCORES",
    "Extraction",
    "TokenScores",
    "extract",
    "membership_scores",
    "score_tokens",
]
