"""What release cards have in common, whatever the examples are: nats, μ, and a policy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from experiments.framework.results import Entry, Results, entry
from experiments.membership.policy import Finding, Rule, check_policy
from experiments.report import figures
from experiments.report.formats import plain
from experiments.report.page import Picture
from experiments.report.tables import Column, KeyColumn
from gujax import training
from gujax.uniqueness import Ledger, predicted_auc

VIOLATED = 3  # the exit code

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
_ENDS = {0.0: "smallest", 1.0: "largest"}

# Of what `quantile_entries` gives.
SPREAD = (
    KeyColumn("quantile", "quantile", lambda q: _ENDS.get(q, f"{100 * q:g} %")),
    Column("nats", "nats", plain(".4g")),
    Column("μ", "mu", plain(".4g")),
    Column("predicted attack AUC", "predicted_auc", plain(".4f")),
)


def ledger_of(result: training.TrainResult) -> Ledger:
    """The ledger of a training that kept one."""
    ledger = training.aggregation_state(result.opt_state).ledger
    assert ledger is not None
    return ledger


def ledger_totals(ledger: Ledger, every: int) -> dict[str, Float[np.ndarray, " examples"]]:
    """Nats and μ of every example over the run.

    Every `every`-th step was audited: totals are scaled up by it.
    """
    return {
        "nats": every * np.asarray(ledger.nats, float),
        "mu": np.sqrt(every * np.asarray(ledger.mu_squared, float)),
    }


def nats_spread(nats: Float[np.ndarray, " examples"]) -> dict[str, float]:
    """What is written down of the nats after every epoch."""
    median, high, largest = np.quantile(nats, (0.5, 0.99, 1.0)).tolist()
    return {"median_nats": median, "p99_nats": high, "max_nats": largest}


def policy_entries(measured: Mapping[str, float], rules: Sequence[Rule]) -> Iterator[Entry]:
    """What a policy may limit, and what came of its rules."""
    for name, value in measured.items():
        yield entry(name, value, "nats" if name.endswith("nats") else "")
    for finding in dict.fromkeys(check_policy(rules, measured)):
        yield entry("limit", finding.rule.limit, rule=str(finding.rule))
        yield entry("holds", finding.holds, rule=str(finding.rule))


def quantile_entries(totals: pl.DataFrame) -> Iterator[Entry]:
    """Quantiles of nats and of μ over examples, and the AUC that μ predicts."""
    nats, mu = (totals[name].to_numpy() for name in ("nats", "mu"))
    for quantile in QUANTILES:
        at = float(np.quantile(mu, quantile))
        yield entry("nats", np.quantile(nats, quantile), "nats", quantile=quantile)
        yield entry("mu", at, quantile=quantile)
        yield entry("predicted_auc", predicted_auc(at), quantile=quantile)


def epoch_entries(epochs: pl.DataFrame) -> Iterator[Entry]:
    """What was seen after every epoch."""
    for row in epochs.iter_rows(named=True):
        for name, value in row.items():
            if name != "epoch":
                yield entry(name, value, epoch=row["epoch"])


def findings(rules: Sequence[Rule], results: Results, measures: Sequence[str]) -> list[Finding]:
    """Every rule of the policy with what was measured."""
    return check_policy(rules, {name: results.get(name).mean for name in measures})


def exit_code_of(found: Sequence[Finding]) -> int:
    """0, or 3 if the policy is violated."""
    return 0 if all(finding.holds for finding in found) else VIOLATED


def policy_content(found: Sequence[Finding]) -> list[dict[str, Any]]:
    """The findings, as `card.json` holds them."""
    return [
        {**asdict(finding.rule), "measured": finding.value, "holds": finding.holds}
        for finding in found
    ]


def epoch_curve(results: Results, measure: str, scale: float = 1.0) -> list[float]:
    """A number after every epoch."""
    epochs = results.values("epoch")
    return [scale * results.get(measure, epoch=epoch).mean for epoch in epochs]


def nats_panel(results: Results) -> tuple[str, list[tuple[str, list[float]]]]:
    """The panel of training curves that shows what was disclosed."""
    names = ("max", "p99", "median")
    curves = [(f"{name} nats", epoch_curve(results, f"{name}_nats")) for name in names]
    return "nats disclosed so far", curves


def nats_histogram(
    totals: pl.DataFrame, found: Sequence[Finding], unit: str, words: str
) -> Picture:
    """Nats of all examples, with the limit of the policy if it has one.

    Args:
        unit: What an example is.
        words: What the picture shows.
    """
    limit = next((f.rule.limit for f in found if f.rule.name == "max_nats"), None)
    nats = totals["nats"].to_numpy()
    label = f"nats disclosed over the run, bound per {unit}"
    return Picture(figures.histogram(nats, label, limit), words)
