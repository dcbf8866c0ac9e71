"""May this model be published? The best attack on it, predicted, for a model trained anywhere."""

from gujax.assessment._assess import assess
from gujax.assessment._assessment import Assessment
from gujax.assessment._card import verdict
from gujax.assessment._gradients import blocks_of, signal_gram, signal_of_one, signal_sketches
from gujax.assessment._policy import Decision

__all__ = [
    "Assessment",
    "Decision",
    "assess",
    "blocks_of",
    "signal_gram",
    "signal_of_one",
    "signal_sketches",
    "verdict",
]
