"""The defenses by name, and what a name such as "gaussian:0.1" stands for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from experiments.framework.errors import UserError
from experiments.framework.registry import found_in
from experiments.inversion.defenses._method import DEFAULT, Method, Setting
from experiments.inversion.sharing import SharedUpdate
from experiments.tasks.task import ModelName, Task


@cache
def methods() -> Mapping[str, Method]:
    """Every family by name: the files of this package."""
    found = found_in(__package__, "METHOD")
    return dict(sorted(found.items(), key=lambda family: family[1].position))


def by_default(model: ModelName) -> list[str]:
    """The families that are attacked where nobody says what to attack, as far as they fit."""
    return [
        name
        for name, method in methods().items()
        if method.by_default and not (method.needs_convolutions and model == "mlp")
    ]


def build_shared_updates(
    task: Task, names: Sequence[str], setting: Setting = DEFAULT
) -> list[SharedUpdate]:
    """Defenses made ready for a task, each once.

    Args:
        task: Data and model; the loss is that of the plain model.
        names: Such as ``"precode"``, or with a strength ``"gaussian:0.1"``; see `methods`.
        setting: What they share.

    Raises:
        UserError: A name is unknown, a strength is out of range, or a defense does not fit the
            model.
    """
    built = [_build(task, name, setting) for name in names]
    return list({shared.label: shared for shared in built}.values())


def _build(task: Task, name: str, setting: Setting) -> SharedUpdate:
    family, _, given = name.partition(":")
    if family not in methods():
        raise UserError(f"unknown defense '{family}'; choose from {', '.join(methods())}")
    method = methods()[family]
    if given and method.strength is None:
        raise UserError(f"the defense '{name}' takes no strength; write '{family}'")
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
