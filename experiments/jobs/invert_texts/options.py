"""Options of the job `invert_texts`."""

from typing import Annotated

from annotated_types import Ge

from experiments.framework.errors import check_option
from experiments.framework.options import Count, Positive, RunOptions, Several, options


@options
class Options(RunOptions):
    """Read the texts behind shared updates of a language model, under every defense.

    A small GPT of bytes is at initialization; clients share gradients of texts that it has not
    seen; DAGER reads the texts off the gradients of attention, or says which condition fails.

    Attributes:
        texts: A data set of tensorflow_datasets, or a file: .txt with a text per line, or .jsonl.
        feature: Which feature of the data set, or entry of the objects, holds the text; a .txt file
            has none.
        num_texts: Read so many texts, of which each seed draws its own.
        context: Tokens (bytes) of a text that the model reads; longer texts are cut.
        width: Of the model: fewer tokens than this less one must be behind an update.
        blocks: Of the model.
        heads: Attention heads of a block.
        defenses: What to attack, each a name or "name:strength", as of `invert`; batch:8 is also
            what a server sees of eight clients with one text each under secure aggregation.
        batch_size: Texts of one update, where the defense does not say.
        crowd: Texts among which gate, clip and dp_sgd release.
        updates: Shared updates that are attacked per seed and defense.
        seeds: Independent repeats, each with parameters, texts and noise of its own.
        tolerance: Largest relative distance from the gradient's span that DAGER takes for zero;
            default: what suits float32.
        max_texts: Most texts that DAGER tries at one position.
    """

    texts: str = "ag_news7600"
    feature: str = "title"
    num_texts: Count = 2000
    context: Annotated[int, Ge(2)] = 16
    width: Count = 256
    blocks: Annotated[int, Ge(2)] = 2
    heads: Count = 4
    defenses: Several[str] = (
        "none",
        "batch:8",
        "batch:16",
        "local_steps:2",
        "clip",
        "gate",
        "gaussian:0.001",
        "laplacian:0.001",
        "prune:0.5",
        "dp_sgd:0.001",
    )
    batch_size: Count = 4
    crowd: Count = 8
    updates: Count = 4
    seeds: Count = 3
    tolerance: Positive | None = None
    max_texts: Count = 65536

    def __post_init__(self) -> None:
        check_option(
            self.width % self.heads == 0,
            f"--width {self.width} must be a multiple of --heads {self.heads}",
        )
