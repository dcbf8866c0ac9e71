"""Defenses of shared updates: by name, and made ready for a task.

    plain, noisy = build_shared_updates(task, ["none", "gaussian:0.1"])

A new one is one file beside this: its name is the family's, its `METHOD` says what the family is.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from experiments.framework.errors import UserError, check_option
from experiments.framework.registry import found_in
from experiments.inversion.sharing import SharedUpdate
from experiments.tasks.task import ModelName, Task


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
        local_steps: Of every client under secure aggregation.
        relative_ridge: Ridge of the uniqueness that gate and clip measure, over the mean squared
            gradient norm of the batch.
        l2_norm_clip: Of DP-SGD.
        draws: Of a bottleneck's noise, in the model of the attacker who averages over it.
    """

    batch_size: int = 1
    crowd: int = 8
    before: str | None = None
    early_before: str | None = None
    beta: float = 1e-3
    early_beta: float = 1e-5
    local_learning_rate: float = 0.05
    local_steps: int = 1
    relative_ridge: float = 0.1
    l2_norm_clip: float = 1.0
    draws: int = 4


Build = Callable[[Task, Setting, float], SharedUpdate]


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
    build: Build
    strength: float | None = None
    meaning: str = ""
    adaptations: tuple[str, ...] = ()
    by_default: bool = True
    needs_convolutions: bool = False


@cache
def methods() -> Mapping[str, Method]:
    """Every family by name: the files of this package."""
    found = found_in(__name__, "METHOD")
    return dict(sorted(found.items(), key=lambda family: family[1].position))


def by_default(model: ModelName) -> list[str]:
    """The families that are attacked where nobody says what to attack, as far as they fit."""
    return [
        name
        for name, method in methods().items()
        if method.by_default and not (method.needs_convolutions and model == "mlp")
    ]


def build_shared_updates(
    task: Task, names: Sequence[str], setting: Setting | None = None
) -> list[SharedUpdate]:
    """Defenses made ready for a task, each once.

    Args:
        task: Data and model; the loss is that of the plain model.
        names: Such as ``"precode"``, or with a strength ``"gaussian:0.1"``; see `methods`.
        setting: What they share; None for the defaults.

    Raises:
        UserError: A name is unknown, a strength is out of range, or a defense does not fit the
            model.
    """
    built = [_build(task, name, setting or Setting()) for name in names]
    return list({shared.label: shared for shared in built}.values())


def _build(task: Task, name: str, setting: Setting) -> SharedUpdate:
    family, _, given = name.partition(":")
    if family not in methods():
        raise UserError(f"unknown defense '{family}'; choose from {', '.join(methods())}")
    method = methods()[family]
    check_option(
        method.strength is not None or not given,
        f"the defense '{name}' takes no strength; write '{family}'",
    )
    try:
        strength = float(given) if given else method.strength
        if strength is not None and not math.isfinite(strength):
            raise ValueError
    except ValueError as error:
        raise UserError(
            f"the strength of the defense '{name}' is not a finite number; it is the "
            f"{method.meaning}"
        ) from error
    try:
        shared = method.build(task, setting, strength or 0.0)
    except ValueError as error:
        raise UserError(f"defense '{name}': {error}") from error
    return replace(shared, label=method.label.format(strength), family=family, strength=strength)
