"""What the job measures, and with how much effort."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.jobs.leakage.conditions import Condition, Sweep


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        sweeps: Conditions; the first is training progress.
        layers: Prefixes of the parameter tree, from input to output.
        fully_connected: Those after the feature extractor; empty if there is none.
        dropped: Layers whose input is dropped from, under dropout.
        examples: Size of the pool.
        num_folds: Folds of the predictors.
        width: Principal coordinates that predictors are given.
        input_components: Principal components of the input that they predict.
        ks: Dimensions of the subspaces.
        shuffles: Of the control of the subspace distance.
        sensitivity_examples: Examples whose sensitivity is measured.
        probes: Of the sensitivity's estimate.
        relative_ridge: Ridge of GNQ over the mean squared gradient norm of the pool.
        reference_epoch: When batch size, dropout and noise are varied.
        recovery_epochs: When gradients are inverted.
        victims: Examples that are inverted.
        learning_rate: Of training, with Adam.
        batch_size: Of training.
    """

    sweeps: Sequence[Sweep]
    layers: tuple[str, ...]
    fully_connected: tuple[str, ...]
    dropped: tuple[str, ...]
    examples: int
    num_folds: int
    width: int
    input_components: int
    ks: tuple[int, ...]
    shuffles: int
    sensitivity_examples: int
    probes: int
    relative_ridge: float
    reference_epoch: int
    recovery_epochs: tuple[int, ...]
    victims: int
    learning_rate: float
    batch_size: int

    @property
    def conditions(self) -> list[Condition]:
        """Every condition once."""
        return list(dict.fromkeys(c for sweep in self.sweeps for c in sweep.conditions))
