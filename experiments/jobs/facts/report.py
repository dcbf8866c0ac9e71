"""What the study shows: tables and figures; their words are in `report.html.jinja`."""

from collections.abc import Mapping, Sequence

from experiments.framework.results import Key, Results
from experiments.jobs.facts.analysis import ALL, LOSSES, SAME_LENGTH, SCORES
from experiments.jobs.facts.measure import FOLDER, SWAPPED, Plan, Scored
from experiments.report import figures, style
from experiments.report.formats import number, percent
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate

_SOURCES = {SWAPPED: "swapped", FOLDER: "of the folder"}
_SOURCE = KeyColumn("statements", "source", _SOURCES.__getitem__)
_LOSS = KeyColumn("loss over tokens", "loss")
_SCORE = KeyColumn("score", "score", SCORES.__getitem__)


def report(plan: Plan, scored: Mapping[str, Sequence[Scored]], results: Results) -> Report:
    """Tables, figures and their page."""
    return Report(
        __file__,
        tables={
            "main": _auc_table(plan, results, SAME_LENGTH),
            "confounded": _auc_table(plan, results, ALL),
            "length": _length_table(results),
            "groups": _group_table(plan, results),
        },
        figures={
            "scores": Picture(_by_score(plan, results), "AUC of every score by mixture"),
            "groups": Picture(_by_group(plan, results), "AUC by group of parameters"),
        },
        terminal=("main", "length", "claims"),
        words={
            "options": plan.options,
            "model": plan.language_model.name,
            "checkpoints": len(plan.checkpoints),
            "sources": [_SOURCES[name] for name in plan.facts],
            "examples": [
                [*zip(of_seeds[0].true, of_seeds[0].made_up)][:3]
                for of_seeds in plan.facts.values()
            ],
        },
    )


def _auc_table(plan: Plan, results: Results, pairs: str) -> Table:
    compared = "of the same number of tokens" if pairs == SAME_LENGTH else "of any length"
    return tabulate(
        f"AUC of made-up against true statements, pairs {compared}",
        results.where(pairs=pairs),
        [
            _SOURCE,
            _LOSS,
            _SCORE,
            *(
                Column(f"{100 * share:g} % made up", "auc", number(3), {"made_up": share})
                for share in plan.options.made_up
            ),
        ],
        "0.5 is guessing; above it, made-up statements score higher. ± are 95 % t-intervals over "
        f"seeds, which share no fact. Ridge {plan.options.relative_ridge:g} of the set's mean "
        "squared gradient norm.",
    )


def _length_table(results: Results) -> Table:
    rows = []
    for (source,), found in results.groups("source"):
        for loss in LOSSES:
            rows.append(
                [
                    _SOURCES[source],
                    loss,
                    *(number(1)(found.get("mean_tokens", form=f)) for f in ("true", "made up")),
                    *(number(2)(found.get("mean_loss", form=f)) for f in ("true", "made up")),
                    *(
                        number(2)(found.get("spearman_with_tokens", loss=loss, score=score))
                        for score in ("loss", "squared_norm")
                    ),
                ]
            )
    columns = (
        *("statements", "loss over tokens", "tokens, true", "tokens, made up"),
        *("mean loss, true", "mean loss, made up", "Spearman of tokens and loss"),
        "Spearman of tokens and squared norm",
    )
    note = "Where lengths differ, or scores follow length, only pairs of one length mean something."
    return Table("What length tells", columns, rows, note)


def _group_table(plan: Plan, results: Results) -> Table:
    share = plan.options.made_up[0]
    keys: dict[str, Key] = {"made_up": share, "pairs": SAME_LENGTH}
    return tabulate(
        f"AUC by group of parameters, {100 * share:g} % made up, pairs of one length",
        results,
        [
            _SOURCE,
            _LOSS,
            KeyColumn("parameters", "group"),
            Column("share of squared norm (%)", "share_of_squared_norm", percent(1)),
            Column("GNQ", "auc", number(3), {**keys, "score": "gnq"}),
            Column("squared norm", "auc", number(3), {**keys, "score": "squared_norm"}),
        ],
        "The ridge of each group is relative to its own mean squared norm.",
    )


_TINTS = (style.BLUE, style.SKY, style.GREEN, style.VERMILION, style.PINK, style.BLACK)


def _by_score(plan: Plan, results: Results):
    shares = plan.options.made_up

    def panel(source: str, pairs: str) -> figures.BarPanel:
        found = results.where(source=source, loss="mean", pairs=pairs)
        bars = [
            figures.Bars(
                f"{100 * share:g} % made up",
                _TINTS[index % len(_TINTS)],
                [found.get("auc", made_up=share, score=score).interval for score in SCORES],
            )
            for index, share in enumerate(shares)
        ]
        title = f"{_SOURCES[source]}, pairs: {pairs}"
        return figures.BarPanel(title, "AUC", bars, reference=0.5)

    names = ("GNQ", "norm²", "loss", "tokens")
    return figures.bar_panels(
        [[panel(source, pairs) for pairs in (SAME_LENGTH, ALL)] for source in plan.facts], names
    )


def _by_group(plan: Plan, results: Results):
    groups = results.values("group")
    share = plan.options.made_up[0]

    def panel(source: str, loss: str) -> figures.BarPanel:
        found = results.where(source=source, loss=loss, pairs=SAME_LENGTH, made_up=share)
        bars = [
            figures.Bars(
                words,
                tint,
                [found.get("auc", score=score, group=group).interval for group in groups],
            )
            for score, words, tint in (
                ("gnq", "GNQ", style.BLUE),
                ("squared_norm", "squared norm", style.BLACK),
            )
        ]
        return figures.BarPanel(f"{_SOURCES[source]}, {loss} loss", "AUC", bars, reference=0.5)

    return figures.bar_panels(
        [[panel(source, loss) for loss in LOSSES] for source in plan.facts], groups
    )
