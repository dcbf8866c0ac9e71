"""Options of the job `extraction`."""

from typing import Annotated

from experiments.framework.errors import check_option
from experiments.framework.options import Count, CountFromZero, Positive, Several, must, options
from experiments.tasks.options import FineTuningOptions

_IN_PAIRS = "even: halves come in pairs"


@options
class Options(FineTuningOptions):
    """Fine-tunings in which texts are seen equally or unequally often: who can be extracted?

    Attributes:
        num_texts: Texts per seed; seeds share none.
        canaries: Made-up codes beside them.
        seeds: Independent repeats; intervals are over them.
        references: Further fine-tunings of each, on random halves of its texts, which estimate how
            much of a text is known for having been trained on; even, 0 for none.
        exposures: How often texts are in the data of the unequal fine-tuning; each holds for an
            equal share of texts and canaries.
        epochs: Passes over the data of the unequal fine-tuning; the equal one takes about as many
            steps.
        seed: Seed of the choice of texts, of adapters and batches.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch.
    """

    num_texts: Count = 24
    canaries: Count = 8
    seeds: Count = 3
    references: Annotated[CountFromZero, must(lambda n: n % 2 == 0, _IN_PAIRS)] = 2
    exposures: Several[Count] = (1, 2, 4, 8)
    cut_to: Count = 32
    lora_rank: CountFromZero = 8
    epochs: Count = 2
    learning_rate: Positive = 2e-3

    def __post_init__(self) -> None:
        for name, count in (("--num-texts", self.num_texts), ("--canaries", self.canaries)):
            check_option(
                count % len(self.exposures) == 0,
                f"{name} {count} must be a multiple of the {len(self.exposures)} --exposures",
            )
        super().__post_init__()

    @property
    def equal_epochs(self) -> int:
        """Passes of the equal fine-tuning, in which every text is seen as often as on average."""
        return max(1, round(self.epochs * sum(self.exposures) / len(self.exposures)))
