"""What tells beforehand which texts are extracted."""

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
from scipy import stats
from sklearn.metrics import roc_auc_score

from experiments.framework.results import Entry, entry
from experiments.jobs.extraction.measure import CONDITIONS, Plan

PREDICTORS = {
    "gnq": "GNQ, summed over the steps",
    "nats": "nats, summed over the steps",
    "squared_norm": "squared gradient norm, summed over the steps",
    "loss_before": "loss before fine-tuning",
    "loss_after": "loss after fine-tuning",
    "exposures": "number of exposures",
    "zlib": "bytes compressed by zlib",
    "suffix": "number of tokens to extract",
    "counterfactual": "counterfactual memorization, by models trained without the text",
}


def analyze(plan: Plan, table: pl.DataFrame) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: condition (equal or unequal exposure), predictor, exposures. Correlations are over a
    seed's texts, canaries apart; NaN where one side does not vary.
    """
    for condition in CONDITIONS:
        of_seeds = [
            table.filter(pl.col("condition") == condition, pl.col("seed") == seed)
            for seed in range(plan.options.seeds)
        ]
        texts = [rows.filter(~pl.col("canary")) for rows in of_seeds]
        for name in ("extracted", "loss_before", "loss_after"):
            values = [_numbers(rows, name).mean() for rows in texts]
            yield entry(f"mean_{name}", values, condition=condition)
        for name in filter(table.columns.__contains__, PREDICTORS):
            place = {"condition": condition, "predictor": name}
            for measure, function in (("spearman", spearman), ("auc", auc)):
                target = "log_probability" if measure == "spearman" else "extracted"
                found = [function(_numbers(r, name), _numbers(r, target)) for r in texts]
                yield entry(measure, found, **place)
        yield from _by_exposure(of_seeds, condition)


def _by_exposure(of_seeds: list[pl.DataFrame], condition: str) -> Iterator[Entry]:
    for count in of_seeds[0]["exposures"].unique().sort().to_list():
        for measure, column, canary in (
            ("extracted", "extracted", False),
            ("log_probability", "log_probability", False),
            ("canary_extracted", "extracted", True),
            ("canary_exposure", "canary_exposure", True),
        ):
            values = [
                _numbers(
                    rows.filter(pl.col("exposures") == count, pl.col("canary") == canary), column
                ).mean()
                for rows in of_seeds
            ]
            yield entry(measure, values, condition=condition, exposures=count)


def spearman(predictor: np.ndarray, success: np.ndarray) -> float:
    """Rank correlation; NaN where one side does not vary."""
    return _where_both_vary(
        lambda one, other: stats.spearmanr(one, other).statistic, predictor, success
    )


def auc(predictor: np.ndarray, success: np.ndarray) -> float:
    """Probability that an extracted text has the larger value; NaN where one side is constant."""
    return _where_both_vary(lambda one, other: roc_auc_score(other, one), predictor, success)


def _where_both_vary(
    function: Callable[[np.ndarray, np.ndarray], float], one: np.ndarray, other: np.ndarray
) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(function(one, other))


def _numbers(rows: pl.DataFrame, name: str) -> np.ndarray:
    return rows[name].cast(pl.Float64).to_numpy()
