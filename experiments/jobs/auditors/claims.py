"""What the run says about how auditors compare."""

from collections.abc import Mapping, Sequence

from experiments.framework.claims import Claim, test
from experiments.framework.results import Measured, Results
from experiments.jobs.auditors.measure import Plan
from experiments.report.formats import number

_STEINKE = "arXiv 2305.08846 (Steinke, Nasr, Jagielski 2023)"


def claims(plan: Plan, results: Results) -> list[Claim]:
    """The claims with their verdicts; every effect must be positive at every ε."""
    targets = list(plan.recipes)

    def over_targets(measure: str, auditor: str) -> list[Measured]:
        return [results.get(measure, target=target, auditor=auditor) for target in targets]

    def between(larger: str, smaller: str) -> list[Measured]:
        pairs = zip(over_targets("epsilon", larger), over_targets("epsilon", smaller))
        return [one - other for one, other in pairs]

    def tested(
        key: str, statement: str, source: str, effects: Mapping[str, Sequence[Measured]]
    ) -> Claim:
        """A claim about `effects`: what they are, to one per ε."""
        measured = "; ".join(
            f"{what}: "
            + ", ".join(f"{number(2)(e)} (ε={target:g})" for target, e in zip(targets, of_targets))
            for what, of_targets in effects.items()
        )
        return test(key, statement, source, measured, [e for row in effects.values() for e in row])

    return [
        tested(
            "lower_bounds_are_below_the_accountant",
            "Empirical lower bounds of ε stay below the accountant's.",
            "definition of differential privacy",
            {
                "accountant − one-run": over_targets("below_accountant", "one_run"),
                "accountant − LiRA": over_targets("below_accountant", "lira"),
            },
        ),
        tested(
            "gnq_lies_between_lira_and_the_accountant",
            "GNQ's ε of the most exposed example lies between LiRA's lower bound and the "
            "accountant's ε.",
            "this project: GNQ with DP-SGD's own noise as ridge",
            {
                "accountant − GNQ": over_targets("below_accountant", "gnq"),
                "GNQ − LiRA": between("gnq", "lira"),
            },
        ),
        tested(
            "one_run_audit_says_something",
            "One training run is enough for a lower bound of ε above 0.",
            _STEINKE,
            {"one-run": over_targets("epsilon", "one_run")},
        ),
        tested(
            "many_runs_are_tighter_than_one",
            "LiRA over many models gives a tighter lower bound than one run.",
            _STEINKE,
            {"LiRA − one-run": between("lira", "one_run")},
        ),
    ]
