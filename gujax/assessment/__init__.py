"""May this model be published? The best attack on it, predicted, for a model trained anywhere."""

from gujax.assessment.assess import assess
from gujax.assessment.assessment import Assessment
from gujax.assessment.card import verdict
from gujax.assessment.policy import Decision

__all__ = ["Assessment", "Decision", "assess", "verdict"]
