"""What the run says about how auditors compare."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.framework.claim import Claim, verdict
from experiments.framework.seeds import interval, number

_STEINKE = "arXiv 2305.08846 (Steinke, Nasr, Jagielski 2023)"


def claims(entries: Sequence[Mapping[str, Any]]) -> list[Claim]:
    """The claims with their verdicts, see `experiments.framework.claim`.

    Args:
        entries: What `analysis.summarize` returned.
    """

    def tested(key: str, statement: str, source: str, effects: Mapping[str, Any]) -> Claim:
        """Every effect of every ε must be positive; `effects` maps what it is to its numbers."""
        measured = "; ".join(
            f"{what}: "
            + ", ".join(
                f"{number(effect, 2)} (ε={entry['target']:g})"
                for entry, effect in zip(entries, column)
            )
            for what, column in effects.items()
        )
        every = [interval(effect) for column in effects.values() for effect in column]
        return Claim(key, statement, source, measured, verdict(every))

    def gaps(name: str) -> list[Mapping[str, Any]]:
        return [entry["gaps"][name] for entry in entries]

    return [
        tested(
            "lower_bounds_are_below_the_accountant",
            "Empirical lower bounds of ε stay below the accountant's.",
            "definition of differential privacy",
            {
                "accountant − one-run": gaps("one_run"),
                "accountant − LiRA": gaps("lira"),
            },
        ),
        tested(
            "gnq_lies_between_lira_and_the_accountant",
            "GNQ's ε of the most exposed example lies between LiRA's lower bound and the "
            "accountant's ε.",
            "this project: GNQ with DP-SGD's own noise as ridge",
            {
                "accountant − GNQ": gaps("gnq"),
                "GNQ − LiRA": [entry["gnq_over_lira"] for entry in entries],
            },
        ),
        tested(
            "one_run_audit_says_something",
            "One training run is enough for a lower bound of ε above 0.",
            _STEINKE,
            {"one-run": [entry["epsilons"]["one_run"] for entry in entries]},
        ),
        tested(
            "many_runs_are_tighter_than_one",
            "LiRA over many models gives a tighter lower bound than one run.",
            _STEINKE,
            {"LiRA − one-run": [entry["lira_over_one_run"] for entry in entries]},
        ),
    ]
