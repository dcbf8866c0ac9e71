"""Options of jobs that train many models and attack them."""

from typing import Any

from experiments.framework.errors import UserError, check_option, warn
from experiments.framework.options import (
    CountFromZero,
    Fraction,
    Models,
    Positive,
    Retired,
    RunOptions,
    flag,
    options,
)
from experiments.membership.defenses import Defense, methods, parse_defenses
from experiments.tasks.options import RepeatedOptions


@options
class MembershipOptions(RepeatedOptions):
    """Options that such jobs share.

    Attributes:
        shadow_models: Models per defense and seed (even): each is attacked with the others.
        first_seed: Number of the first seed. Repeat on others what was looked at on some.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch:
            the noise that the attacker of the bound is assumed to face. DP-SGD uses its own noise.
    """

    shadow_models: Models = 16
    first_seed: CountFromZero = 0
    relative_ridge: Positive = 0.1

    @property
    def seed_numbers(self) -> range:
        """The seeds of the repeats."""
        return range(self.first_seed, self.first_seed + self.seeds)


_RETIRED = {
    "gate_quantile": "gate",
    "gate_quantiles": "gate",
    "clip_cap": "clip",
    "clip_caps": "clip",
    "budget_nats": "budget",
    "budgets_nats": "budget",
    "censor_fraction": "censor",
    "censor_fractions": "censor",
    "fractions": "censor",
    "epsilon": "dp_sgd",
    "epsilons": "dp_sgd",
}
Strengths = Retired[tuple[float, ...]]


@options
class DefenseOptions(RunOptions):
    """Options of jobs with an option `defenses`, or `defense` for a single one.

    Its names may carry strengths, as "gate:0.9". Earlier versions were told strengths apart; these
    options replace those of a family that is named without one, and those of the default.

    Attributes:
        delta: δ of DP-SGD.
        gate_quantile: Now gate:VALUE, as are the following in their ways.
    """

    delta: Fraction = 1e-5
    gate_quantile: Strengths = None
    gate_quantiles: Strengths = None
    clip_cap: Strengths = None
    clip_caps: Strengths = None
    budget_nats: Strengths = None
    budgets_nats: Strengths = None
    censor_fraction: Strengths = None
    censor_fractions: Strengths = None
    epsilon: Strengths = None
    epsilons: Strengths = None

    def __post_init__(self) -> None:
        super().__post_init__()
        field = flag(_field(self))
        for retired, strengths in _given(self).items():
            family = _RETIRED[retired]
            instead = " ".join(f"{family}:{value:g}" for value in strengths)
            warn(
                f"{flag(retired)} will go in the next release; "
                + (f"write {field} {instead}" if instead else f"leave {family} out of {field}")
            )
        _ = self.chosen

    @property
    def named(self) -> list[str]:
        """Names of defenses, with the strengths that options of earlier versions gave."""
        value, default = (getattr(place, _field(self)) for place in (self, type(self)))
        given = {_RETIRED[retired]: values for retired, values in _given(self).items()}
        names: list[str] = []
        for name in [value] if isinstance(value, str) else value:
            family = name.partition(":")[0]
            replaced = family in given and (name == family or value == default)
            names += [f"{family}:{number}" for number in given[family]] if replaced else [name]
        return list(dict.fromkeys(names))

    @property
    def chosen(self) -> list[Defense]:
        """What the names stand for, each once."""
        return parse_defenses(self.named, self.delta)

    @property
    def chosen_and_plain(self) -> list[Defense]:
        """The same after plain SGD, which all are compared with."""
        return parse_defenses(("sgd", *self.named), self.delta)


def check_single_run(defense: Defense, audit_every: int, run: str) -> None:
    """What a job that trains one model under a ledger cannot do.

    Args:
        audit_every: Its option of that name.
        run: What it does, as in "an audit".

    Raises:
        UserError: The defense needs other runs, or has to measure every step.
    """
    family, method = defense.family, defense.method
    for needs, what in (
        (method.removes, "removes examples by the ledgers of other runs"),
        (method.labels, "trains on labels of other models"),
    ):
        check_option(
            needs is None, f"--defense {family} {what}, of which {run} has none; choose another"
        )
    check_option(
        audit_every == 1 or not method.measures_anyway,
        f"--audit-every: the {family} defense measures every step anyway; leave it 1",
    )


def _field(options: Any) -> str:
    return "defenses" if hasattr(options, "defenses") else "defense"


def _given(options: Any) -> dict[str, tuple[float, ...]]:
    """Options of earlier versions that were given, with their values.

    Raises:
        UserError: A strength is out of range.
    """
    found = {name: getattr(options, name, None) for name in _RETIRED}
    given = {name: values for name, values in found.items() if values is not None}
    for name, values in given.items():
        strength = methods()[_RETIRED[name]].strength
        for value in values:
            if strength is not None and not strength.allowed(value):
                raise UserError(f"{flag(name)} {value} must be {strength.must}")
    return given
