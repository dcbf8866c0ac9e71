"""Options of the job `facts`."""

from pathlib import Path

from experiments.framework.errors import check_option
from experiments.framework.options import Count, Fraction, Positive, Several, options
from experiments.tasks.options import LanguageOptions


@options
class Options(LanguageOptions):
    """True against made-up statements: what do their gradients tell, and what does their length?

    Falsehoods are made by swapping what true statements speak of. Every statement is scored by the
    published model as it is, among a set of which a share that is fixed beforehand is made up.

    Attributes:
        facts: Folder with true.txt and made_up.txt, one statement per line, to measure as well;
            default: only the statements that come along.
        checkpoints: Earlier checkpoints of the same training, named as `model` is, over which
            gradients' scores are summed, as TracIn does; default: the model alone.
        num_facts: Facts per seed, each with a true and a made-up form; seeds share none.
        seeds: Independent repeats; intervals are over them.
        made_up: Shares of a set that are made up.
        seed: Seed of the choice of facts, of swaps and sets.
        layer_parts: Into how many runs of layers the model is cut.
        block_size: Statements whose gradients are computed at a time.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the set.
    """

    facts: Path | None = None
    checkpoints: tuple[str, ...] = ()
    num_facts: Count = 50
    seeds: Count = 3
    made_up: Several[Fraction] = (0.5, 0.1, 0.02)
    seed: int = 0
    layer_parts: Count = 5
    block_size: Count = 25
    relative_ridge: Positive = 0.1

    def __post_init__(self) -> None:
        for share in self.made_up:
            count = share * self.num_facts
            check_option(
                round(count) >= 1 and self.num_facts - round(count) >= 1,
                f"--made-up {share:g} of --num-facts {self.num_facts} leaves no statement on one "
                "side; take more facts or another share",
            )
