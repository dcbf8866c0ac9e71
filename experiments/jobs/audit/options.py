"""Options of the job `audit`."""

from experiments.framework.options import Count, Positive, options
from experiments.membership.defenses import Defense
from experiments.membership.options import DefenseOptions, check_single_run
from experiments.membership.policy import Rule, parse_policy
from experiments.tasks.options import TrainingOptions


@options
class Options(DefenseOptions, TrainingOptions):
    """Train one model on a whole training set, watch what it discloses, write a release card.

    The exit code is 3 if the policy is violated, so that a pipeline stops before it publishes.

    Attributes:
        defense: How to train, such as gate:0.9; a name without a strength stands for a usual one.
        policy: Limits that the release must respect, such as max_nats=0.5 or predicted_auc=0.6;
            also p99_nats, mean_nats, max_mu, predicted_tpr_1pct, predicted_tpr_01pct, which are
            those of an attacker who sees every update, on the most exposed example. Of one who sees
            the published model, over all examples: max_predicted_auc, max_predicted_tpr_1pct,
            max_predicted_tpr_01pct, and max_predicted_example_auc of the most exposed one.
        rerun: Train once more, on another draw of training and test examples, which makes the
            predicted attack on the published model far more certain.
        audit_every: Measure every k-th step only ("sgd" and "dp_sgd"); totals are scaled by k.
        seed: Seed of initialization, batches and noise.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch:
            the noise that the attacker is assumed to face. DP-SGD uses its own noise.
    """

    defense: str = "sgd"
    policy: tuple[str, ...] = ()
    rerun: bool = True
    audit_every: Count = 1
    seed: int = 0
    relative_ridge: Positive = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.rules  # says now what is no policy
        check_single_run(self.trained_under, self.audit_every, "an audit")

    @property
    def trained_under(self) -> Defense:
        """The defense that `defense` names."""
        return self.chosen[-1]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What `policy` says."""
        return parse_policy(self.policy)
