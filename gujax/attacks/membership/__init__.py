"""Membership inference: was this example in the training data of this model?

Every score is an array [M, N] for M models and N examples, higher meaning "member". With shadow
models, each model takes its turn as the target and the other M − 1 are its shadows.
"""

from gujax._extras import extra
from gujax.statistics import Interval

with extra("attacks"):
    from gujax.attacks.membership.evaluation import AttackResult, evaluate_attack
    from gujax.attacks.membership.lira import lira
    from gujax.attacks.membership.per_example import auc_of_examples
    from gujax.attacks.membership.rmia import rmia
    from gujax.attacks.membership.signals import (
        log_confidence,
        loss_threshold,
        scaled_confidence,
    )
    from gujax.attacks.membership.vector_lira import vector_lira

Estimate = Interval  # deprecated name

__all__ = [
    "AttackResult",
    "Estimate",
    "auc_of_examples",
    "evaluate_attack",
    "lira",
    "log_confidence",
    "loss_threshold",
    "rmia",
    "scaled_confidence",
    "vector_lira",
]
