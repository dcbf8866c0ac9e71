"""Options of the job `invert`."""

from experiments.framework.options import (
    Count,
    CountFromZero,
    NonNegative,
    Positive,
    Several,
    options,
)
from experiments.inversion.attacks import check_attacks
from experiments.inversion.options import InversionOptions
from experiments.tasks.options import TaskOptions


@options
class Options(InversionOptions, TaskOptions):
    """Attack shared updates under every defense, and look at what comes back.

    Every defense is attacked by someone who does not know of it and by someone who does.

    Attributes:
        hidden: Widths of the MLP's hidden layers; the papers' are 1024 1024.
        defenses: What to attack, each a name or "name:strength", such as gaussian:0.1; default: all
            but Laplacian noise that fit the model.
        attacks: With what: ig, adaptive, averaged, patient (averages, and leaves out what is
            stochastic), bypass (reads what a bottleneck's noise did from the encoder's bias), told
            (a bound: knows a bottleneck's noise), dlg, analytic, lone_units, spear, idlg, labels;
            all but idlg and labels bring "adaptive" along.
        batch_size: Examples of one update, where the defense does not say.
        epochs: Train the networks for so many passes before; 0 attacks them at initialization.
        learning_rate: Of Inverting Gradients, in standardized units; default: what suits the model.
        total_variation: Weight of its total variation; default: what suits the model.
        sharpness: Of the second derivative that Inverting Gradients gives to ReLU, which has none;
            0 for none, as published.
        restarts: Searches from different starts, of which the best match is kept.
        dlg_iterations: Steps of DLG.
        match: Searches match only gradients of parameters under these paths, such as
            convolutions/0.
        reference: Examples beside the victims in the batch in which uniqueness is measured.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of that batch.
    """

    hidden: tuple[Count, ...] = (256, 256)
    defenses: Several[str] | None = None
    attacks: Several[str] = (
        "ig",
        "adaptive",
        "averaged",
        "bypass",
        "analytic",
        "lone_units",
        "spear",
        "idlg",
        "labels",
    )
    batch_size: Count = 1
    epochs: CountFromZero = 0
    learning_rate: Positive | None = None
    total_variation: NonNegative | None = None
    sharpness: NonNegative = 1.0
    restarts: Count = 1
    dlg_iterations: Count = 300
    match: tuple[str, ...] = ()
    reference: CountFromZero = 48
    relative_ridge: Positive = 0.1

    def __post_init__(self) -> None:
        check_attacks(self.attacks)
