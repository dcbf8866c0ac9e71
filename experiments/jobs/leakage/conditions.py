"""Under which conditions gradients are looked at: what is varied, one thing at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from experiments.jobs.leakage.options import Options

At = tuple[float, int]
"""Of a network: dropout rate and epoch."""


@dataclass(frozen=True)
class Condition:
    """How a shared gradient came about.

    Attributes:
        epoch: Epochs that the network was trained before.
        batch_size: Examples that the gradient is the mean of.
        alike: Whether all of them share the attribute of the first, or are drawn at random.
        noise: Standard deviation of Gaussian noise on every entry, over the median norm of the
            gradient of one example.
        dropout: Rate at which features are dropped, in training and for this gradient.
    """

    epoch: int
    batch_size: int = 1
    alike: bool = True
    noise: float = 0.0
    dropout: float = 0.0

    @property
    def network(self) -> At:
        """Which network computes the gradient."""
        return self.dropout, self.epoch


class Sweep(NamedTuple):
    """One thing varied, all else as in the reference.

    Attributes:
        name: What is varied.
        title: The same in words.
        unit: What the levels are, as a format of one of them.
        conditions: One for each level; the reference is the first, but for training.
        levels: What the levels are, each once.
    """

    name: str
    title: str
    unit: str
    conditions: tuple[Condition, ...]
    levels: tuple[float, ...]

    @property
    def labels(self) -> list[str]:
        """The levels in words."""
        return [self.unit.format(level) for level in self.levels]

    @property
    def own_levels(self) -> tuple[float, ...]:
        """The levels that no other sweep has: without the reference, but for training."""
        return self.levels if self.name == "epoch" else self.levels[1:]


def make_sweeps(options: Options) -> tuple[Sweep, ...]:
    """All sweeps; without them the batch size is 1, nothing is dropped and no noise is added."""
    reference = Condition(options.reference_epoch)

    def vary(name: str, title: str, unit: str, levels: Sequence[float], **fixed: Any) -> Sweep:
        field, levels = name.partition(",")[0], tuple(dict.fromkeys(levels))
        changed = (replace(reference, **{**fixed, field: level}) for level in levels)
        start = getattr(reference, field)
        return Sweep(name, title, unit, (reference, *changed), (start, *levels))

    epochs = tuple(dict.fromkeys(options.epochs))
    trained = tuple(replace(reference, epoch=epoch) for epoch in epochs)
    together = "batches that share the attribute"
    mixed = "batches of which one example is the victim's"
    varied = (
        vary("batch_size", together, "batch of {:g}", options.batch_sizes),
        vary("batch_size,mixed", mixed, "batch of {:g}", options.batch_sizes, alike=False),
        vary("dropout", "dropout", "rate {:g}", options.dropout),
        vary("noise", "noise", "noise {:g}", options.noise),
    )
    training = Sweep("epoch", "training progress", "epoch {:g}", trained, epochs)
    return training, *(sweep for sweep in varied if len(sweep.levels) > 1)
