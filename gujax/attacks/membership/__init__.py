"""Membership inference: was this example in the training data of this model?

Every score is an array [M, N] for M models and N examples, higher meaning "member". With shadow
models, each model takes its turn as the target and the other M − 1 are its shadows.
"""

from gujax._extras import extra
from gujax.statistics import Interval

with extra("attacks"):
    from gujax.attacks.membership._best import BestAttack, best_of_attacks
    from gujax.attacks.membership._evaluation import (
        AttackResult,
        evaluate_attack,
        true_positive_rates,
    )
    from gujax.attacks.membership._label_only import label_robustness
    from gujax.attacks.membership._lira import lira
    from gujax.attacks.membership._per_example import auc_of_examples
    from gujax.attacks.membership._quantile import quantile_regression
    from gujax.attacks.membership._rmia import rmia
    from gujax.attacks.membership._signals import log_confidence, loss_threshold, scaled_confidence
    from gujax.attacks.membership._vector_lira import vector_lira

Estimate = Interval  # deprecated name

__all__ = [
    "AttackResult",
    "BestAttack",
    "Estimate",
    "auc_of_examples",
    "best_of_attacks",
    "evaluate_attack",
    "label_robustness",
    "lira",
    "log_confidence",
    "loss_threshold",
    "quantile_regression",
    "rmia",
    "scaled_confidence",
    "true_positive_rates",
    "vector_lira",
]
