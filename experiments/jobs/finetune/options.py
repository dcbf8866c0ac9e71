"""Options of the job `finetune`."""

from typing import Annotated

from experiments.framework.errors import check_option
from experiments.framework.options import Count, CountFromZero, Fraction, Positive, must, options
from experiments.membership.defenses import Defense, parse_defense
from experiments.membership.options import check_single_run
from experiments.membership.policy import EVERY_UPDATE, Rule, parse_policy
from experiments.tasks.options import FineTuningOptions
from gujax.attacks.texts import MEMBERSHIP_SCORES

# What a policy may limit beside the updates: shares of texts, and the upper end of an AUC.
MODEL_SEEN = ("extracted", "extracted_by_draws", "membership_auc")
MEASURES = (*EVERY_UPDATE, *MODEL_SEEN)
LIRA = "lira"
_ENOUGH = (
    "even, and 4 at least, or 0 for none: every text needs two of those with it and two of those "
    "without it"
)


@options
class Options(FineTuningOptions):
    """Fine-tune a language model, watch what it discloses of each text, write a release card.

    The exit code is 3 if the policy is violated, so that a pipeline stops before it publishes.

    Attributes:
        num_held_out: Texts of the same source that are not trained on, to attack beside them.
        defense: How to train, such as gate:0.9, budget:1 or dp_sgd:8, where a text is the unit; a
            name without a strength stands for a usual one.
        delta: δ of DP-SGD.
        l2_norm_clip: Clipping norm of DP-SGD.
        draws: How often such an attacker draws a continuation.
        references: Further fine-tunings, each on a random half of all texts, by which LiRA asks
            for members; even, and 4 at least, or 0 for none. Each takes about as long as the run.
        policy: Limits that the release must respect, such as max_nats=0.5 or extracted=0; also
            p99_nats, mean_nats, max_mu, predicted_auc, predicted_tpr_1pct, predicted_tpr_01pct, of
            an attacker who sees every update; and of one who has the model, extracted and
            extracted_by_draws (shares of the texts), and membership_auc (of the best attack, upper
            end of its 95 % interval).
        audit_every: Measure every k-th step only ("sgd" and "dp_sgd"); totals are scaled by k.
    """

    num_held_out: Count = 96
    defense: str = "sgd"
    delta: Fraction = 1e-5
    l2_norm_clip: Positive = 1.0
    draws: Count = 1000
    references: Annotated[CountFromZero, must(lambda n: n % 2 == 0 and n != 2, _ENOUGH)] = 0
    policy: tuple[str, ...] = ()
    audit_every: Count = 1

    def __post_init__(self) -> None:
        _ = self.rules  # says now what is no policy
        check_single_run(self.trained_under, self.audit_every, "a fine-tuning")
        half = self.num_all // 2
        check_option(
            not self.references or self.batch_size <= half,
            f"--batch-size {self.batch_size} must be at most {half}, half of all texts, on which "
            "--references are trained",
        )
        super().__post_init__()

    @property
    def trained_under(self) -> Defense:
        """The defense that `defense` names."""
        return parse_defense(self.defense, self.delta)

    @property
    def num_all(self) -> int:
        """All texts, those to train on first."""
        return self.num_texts + self.num_held_out

    @property
    def attacks(self) -> dict[str, str]:
        """Attacks on membership, and what each is read off, in words."""
        if not self.references:
            return MEMBERSHIP_SCORES
        return MEMBERSHIP_SCORES | {LIRA: f"LiRA against {self.references} reference fine-tunings"}

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What `policy` says."""
        return parse_policy(self.policy, MEASURES)
