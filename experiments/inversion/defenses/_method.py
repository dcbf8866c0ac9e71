"""What the file of a defense of shared updates says about it."""

from collections.abc import Callable
from dataclasses import dataclass

from experiments.inversion.sharing import SharedUpdate
from experiments.tasks.task import Task


@dataclass(frozen=True)
class Setting:
    """What all defenses of a comparison share.

    Attributes:
        batch_size: Examples per step of a client.
        crowd: Examples among which a transformation of the core releases.
        before: Layer before which PRECODE puts its bottleneck; None for the last one.
        early_before: Layer before which CVB puts its own; None for the second of the network.
        beta: Weight of the KL divergence, in bits, in the loss.
        early_beta: That of CVB, whose divergence is a sum over positions.
        local_learning_rate: Of local steps.
        relative_ridge: Ridge of the uniqueness that gate and clip measure, over the mean squared
            gradient norm of the batch.
        l2_norm_clip: Of DP-SGD.
    """

    batch_size: int = 1
    crowd: int = 8
    before: str | None = None
    early_before: str | None = None
    beta: float = 1e-3
    early_beta: float = 1e-5
    local_learning_rate: float = 0.05
    relative_ridge: float = 0.1
    l2_norm_clip: float = 1.0


DEFAULT = Setting()


@dataclass(frozen=True)
class Method:
    """A family of defenses; its file's name is the family's name.

    Attributes:
        position: Where it stands among the families.
        label: Name of the defense, with a place for its strength if it has one.
        build: Makes it ready, from its strength (0 without one); label, family and strength are
            filled in. Raises `ValueError` for what does not fit.
        strength: The default; None for a defense without one.
        meaning: What the strength is.
        adaptations: What the attacker who knows of it does, as in "of noise it smooths"; none where
            there is nothing to do better.
        by_default: Whether it is attacked where nobody says what to attack.
        needs_convolutions: Whether there is no place for it in an MLP.
    """

    position: int
    label: str
    build: Callable[[Task, Setting, float], SharedUpdate]
    strength: float | None = None
    meaning: str = ""
    adaptations: tuple[str, ...] = ()
    by_default: bool = True
    needs_convolutions: bool = False
