"""What the study shows: tables and the figure; their words are in `report.html.jinja`."""

import polars as pl

from experiments.framework.results import Results
from experiments.jobs.extraction.analysis import PREDICTORS
from experiments.jobs.extraction.measure import CONDITIONS, EQUAL, UNEQUAL, Plan
from experiments.report import figures, style
from experiments.report.formats import number, share
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate

_CONDITION = KeyColumn("exposure", "condition")
_SHORT = {
    "squared_norm": "norm²",
    "loss_before": "loss before",
    "loss_after": "loss after",
    "suffix": "tokens",
    "gnq": "GNQ",
}


def report(plan: Plan, table: pl.DataFrame, results: Results) -> Report:
    """Tables, figure and their page."""
    return Report(
        __file__,
        tables={
            "main": _predictor_table(results),
            "success": _success_table(results),
            "exposures": _exposure_table(results),
        },
        figures={"predictors": Picture(_by_predictor(results), "Correlation by predictor")},
        terminal=("success", "main", "exposures", "claims"),
        words={"options": plan.options, "model": plan.language_model.name},
    )


def _predictor_table(results: Results) -> Table:
    columns = [
        Column(f"{what}, {condition}", measure, number(2), {"condition": condition})
        for condition in CONDITIONS
        for what, measure in (("Spearman", "spearman"), ("AUC", "auc"))
    ]
    return tabulate(
        "What tells which texts are extracted, by exposure",
        results,
        [KeyColumn("predictor", "predictor", PREDICTORS.__getitem__), *columns],
        "Spearman: with the log-probability of the text's end, given its beginning. AUC: of texts "
        "that the likeliest tokens give against those that they do not. A dash: one side does not "
        "vary. ± are 95 % t-intervals over seeds, which share no text.",
    )


def _success_table(results: Results) -> Table:
    return tabulate(
        "Loss and extraction of the texts, before and after",
        results,
        [
            _CONDITION,
            Column("loss before", "mean_loss_before", number(2)),
            Column("loss after", "mean_loss_after", number(2)),
            Column("extracted (%)", "mean_extracted", share(0)),
        ],
        "Loss in nats per token. Extracted: by the likeliest tokens, all of the end.",
    )


def _exposure_table(results: Results) -> Table:
    return tabulate(
        "Texts and canaries by how often they were seen",
        results,
        [
            _CONDITION,
            KeyColumn("times seen", "exposures"),
            Column("texts extracted (%)", "extracted", share(0)),
            Column("log-probability of the end", "log_probability", number(1)),
            Column("canaries extracted (%)", "canary_extracted", share(0)),
            Column("exposure of canaries (bits)", "canary_exposure", number(1)),
        ],
        "Exposure in bits: of a canary's rank by likelihood among other codes (Carlini et al. "
        "2019, arXiv 1802.08232); it cannot exceed the logarithm of their number. ± 0 says that "
        "all seeds agree, not that another would.",
    )


def _by_predictor(results: Results):
    known = results.values("predictor")

    def bars(condition: str, tint: str) -> figures.Bars:
        found = [
            results.get("spearman", condition=condition, predictor=name).interval for name in known
        ]
        return figures.Bars(f"{condition} exposure", tint, found)

    tints = {EQUAL: style.BLUE, UNEQUAL: style.VERMILION}
    drawn = [bars(condition, tint) for condition, tint in tints.items()]
    panel = figures.BarPanel("Extraction of texts", "Spearman's correlation", drawn)
    return figures.bar_panels([[panel]], [_SHORT.get(name, name) for name in known])
