"""The report of the onion: tables, figures and one HTML page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.framework.claim import Claim
from experiments.framework.results import interval, number, percent
from experiments.framework.run_directory import RunDirectory
from experiments.membership.analysis import NUM_BINS
from experiments.report import figures, html, style, threat_models
from experiments.report.tables import Table, claims_table
from experiments.tasks.task import Task

if TYPE_CHECKING:
    from experiments.jobs.onion.job import Options

_FROM = {"model": "each training set", "data": "the pool"}
_BEFORE = ("nothing removed", "sgd")
_NATS = ("most disclosed removed", "censor")
_CHANCE = ("as many removed at random", "chance")


def write(
    directory: RunDirectory,
    options: "Options",
    task: Task,
    summary: Mapping[str, Any],
    claims: Sequence[Claim],
) -> list[Table]:
    """Writes figures and `report.html`; returns the tables that the terminal shows.

    Args:
        directory: The run directory.
        options: Options of the job.
        task: Data and model.
        summary: What `analysis.summarize` returned.
        claims: Claims with their verdicts.
    """
    scopes = summary["scopes"]
    drawn = _draw(directory, scopes)
    stayed = [survivors_table(scopes, measure) for measure in ("auc", "tpr_at_1pct")]
    verdicts = claims_table(claims, _RULE)
    train = task.dataset.train
    sections = [
        html.section(
            "Those who stay", html.paragraph(_SURVIVORS), *map(html.table, stayed), drawn["rounds"]
        ),
        html.section(
            "Who among them",
            drawn["deciles"],
        ),
        html.section(
            "Do others become the most unique ones?",
            html.paragraph(
                "Ranks of nats change whenever a model is trained again. What removal does is what "
                "exceeds that: the first row of each round trained the same training sets again "
                "with nothing removed."
            ),
            html.table(uniqueness_table(scopes)),
            drawn["origin"],
        ),
        html.section("Claims and verdicts", html.table(verdicts)),
        html.section(
            "Threat model",
            html.paragraph(threat_models.of_attacks(options.shadow_models)),
            html.paragraph(_ATTACKER_KNOWS),
            html.paragraph(threat_models.of_predictions(options.relative_ridge)),
        ),
        html.section(
            "How censored points are counted",
            html.paragraph(
                "Both ways. Counted as members: their owners handed them to the trainer, and the "
                "attacker decides about them as about any other example. Left out: only pairs of "
                "model and example from which nothing was removed count, all of one arm here; the "
                "sections above count those that stay in both arms."
            ),
            html.table(counting_table(scopes)),
        ),
        html.section(
            "What choosing by nats does to 'before'",
            html.paragraph(
                "The models whose ledgers chose the first layer are biased witnesses of what those "
                "who stay had to fear before: examples that happened to disclose little in just "
                "these models are the ones that stay. The table compares them with models that "
                "were trained on the same examples with other initial parameters and batches. All "
                "other tables use the latter."
            ),
            html.table(selection_table(scopes)),
        ),
        html.section("Accuracy", html.table(accuracy_table(summary))),
        html.section("Files of this run", html.bullets(_FILES)),
    ]
    lead = (
        f"{task.dataset.name}: {len(train)} training and {len(task.dataset.test)} test examples, "
        f"{task.model_name}, plain SGD ({summary['recipe']['optimizer']}, learning rate "
        f"{summary['recipe']['learning_rate']:g}, {summary['recipe']['epochs']} epochs, batches of "
        f"{summary['recipe']['batch_size']}). {options.rounds} rounds remove "
        f"{100 * options.fraction:g} % of what is left each. {options.seeds} seeds × "
        f"{options.shadow_models} models per round and arm. ± is the 95 % t-interval of the mean "
        "over seeds; differences are paired by seed."
    )
    title = f"The privacy onion on {task.dataset.name}: who is exposed when the most exposed leave"
    directory.file("report.html").write_text(html.page(title, lead, sections))
    return [*stayed, verdicts]


def survivors_table(scopes: Mapping[str, Any], measure: str) -> Table:
    """One measure of LiRA on those who stay, and what removal did to it."""
    is_auc = measure == "auc"

    def shown(entry: Mapping[str, Any]) -> str:
        return number(entry, 3) if is_auc else percent(entry, 2)

    rows = []
    for start, of_round in _rounds(scopes):
        stayed = of_round["survivors"]
        cells = [stayed[name][measure] for name in ("before", "after_nats", "after_chance")]
        cells += [stayed[name][measure] for name in ("rise", "rise_by_chance", "against_chance")]
        rows.append([*start, *map(shown, cells)])
    name = "AUC" if is_auc else "TPR at 1 % FPR (percent)"
    return Table(
        f"LiRA on those who stay in both arms: {name}",
        (
            "removed from",
            "round",
            "removed (%)",
            "before",
            "after: by nats",
            "after: random",
            "rise by nats",
            "rise by random",
            "nats over random",
        ),
        rows,
        "Positive rises: those who stay are more exposed than before. Positive last column: more "
        "than if as many others had been removed at random.",
    )


def counting_table(scopes: Mapping[str, Any]) -> Table:
    """LiRA with removed examples as members, and without them."""
    rows = []
    for start, of_round in _rounds(scopes):
        counted, left_out = of_round["counted_as_members"], of_round["left_out"]
        cells = []
        for measure, show, digits in (("auc", number, 3), ("tpr_at_1pct", percent, 2)):
            for arm in ("nats", "chance"):
                cells += [show(kind[arm][measure], digits) for kind in (counted, left_out)]
        rows.append([*start, *cells])
    columns = [
        f"{measure}, {arm}: {kind}"
        for measure in ("AUC", "TPR")
        for arm in ("by nats", "random")
        for kind in ("members", "left out")
    ]
    return Table(
        "LiRA with removed examples as members, and without them (AUC; TPR at 1 % FPR, percent)",
        ("removed from", "round", "removed (%)", *columns),
        rows,
    )


def selection_table(scopes: Mapping[str, Any]) -> Table:
    """What those who stay gave away before: in audited models, and in others."""
    rows = []
    for start, of_round in _rounds(scopes):
        stayed = of_round["survivors"]
        cells = [
            show(stayed[name][measure], digits)
            for measure, show, digits in (("auc", number, 3), ("tpr_at_1pct", percent, 2))
            for name in ("before_in_audited_models", "before")
        ]
        rows.append([*start, *cells])
    return Table(
        "LiRA on those who stay, before anything is removed (AUC; TPR at 1 % FPR, percent)",
        (
            "removed from",
            "round",
            "removed (%)",
            "AUC, audited models",
            "AUC, trained afresh",
            "TPR, audited models",
            "TPR, trained afresh",
        ),
        rows,
    )


def uniqueness_table(scopes: Mapping[str, Any]) -> Table:
    """How the nats of those who stay changed."""
    rows = []
    for start, of_round in _rounds(scopes):
        for key, (label, _) in (("nothing", _BEFORE), ("nats", _NATS), ("chance", _CHANCE)):
            entry = of_round["uniqueness"][key]
            rows.append(
                [
                    *start[:2],
                    label,
                    number(entry["mean_nats_before"], 3),
                    number(entry["mean_nats"], 3),
                    number(entry["spearman"], 2),
                    percent(entry["new_in_top"]),
                ]
            )
    return Table(
        "Nats of those who stay: in the models audited first, and after removal",
        (
            "removed from",
            "round",
            "trained after",
            "mean nats first",
            "mean nats now",
            "Spearman of both",
            "new among the top (%)",
        ),
        rows,
        "New among the top: share of those with most nats now (as many as a round removes) who "
        "were not among those with most nats first. Removing from each training set: within each "
        "training set, averaged over models; from the pool: of the mean nats over models.",
    )


def accuracy_table(summary: Mapping[str, Any]) -> Table:
    """Test accuracy after every round."""
    plain = percent(summary["nothing_removed"]["test_accuracy"])
    rows = [
        [*start, plain, *(percent(of_round["test_accuracy"][arm]) for arm in ("nats", "chance"))]
        for start, of_round in _rounds(summary["scopes"])
    ]
    return Table(
        "Test accuracy (percent)",
        ("removed from", "round", "removed (%)", "nothing removed", "by nats", "random"),
        rows,
    )


def _draw(directory: RunDirectory, scopes: Mapping[str, Any]) -> dict[str, str]:
    """Draws and saves every figure; returns their HTML by name."""

    def inline(name: str, figure, alt: str, caption: str) -> str:
        path = style.save(figure, directory.file(f"figures/{name}"))
        return html.figure(path, alt, caption)

    def series(named: tuple[str, str], x: Sequence[int], entries: Sequence[Mapping[str, Any]]):
        return figures.Series(*named, x, *zip(*map(interval, entries)))

    measured = {"before": _BEFORE, "after_nats": _NATS, "after_chance": _CHANCE}
    by_round, by_decile, origins = [], [], []
    deciles = range(1, NUM_BINS + 1)
    for scope, rounds in scopes.items():
        title, last = f"removed from {_FROM[scope]}", rounds[-1]
        numbers = [of_round["round"] for of_round in rounds]
        by_round.append(
            [
                figures.OnionPanel(
                    title,
                    label,
                    [
                        series(named, numbers, [r["survivors"][key][measure] for r in rounds])
                        for key, named in measured.items()
                    ],
                    in_percent,
                )
                for measure, label, in_percent in (
                    ("auc", "LiRA: AUC", False),
                    ("tpr_at_1pct", "LiRA: TPR at 1 % FPR", True),
                )
            ]
        )
        arms = (("before", _BEFORE), ("nats", _NATS), ("chance", _CHANCE))
        lines = [series(named, deciles, last["auc_by_bin"][key]) for key, named in arms]
        by_decile.append(figures.OnionPanel(title, "LiRA: AUC", lines))
        arms = (("nothing", _BEFORE), ("nats", _NATS), ("chance", _CHANCE))
        bars = [
            figures.Bars(label, style.color(family), [*map(interval, shares)])
            for key, (label, family) in arms
            for shares in [last["uniqueness"][key]["top_origin"]]
        ]
        origins.append(figures.BarPanel(title, "share of those with most nats now", bars, True))
    return {
        "rounds": inline(
            "rounds",
            figures.onion_lines(by_round, "rounds of removal"),
            "AUC and TPR of LiRA on those who stay, by round",
            "LiRA on those who stay in both arms. The dashed line is the attack on the same pairs "
            "of model and example when nothing is removed; it moves because each round leaves "
            "other pairs. Bands are 95 % t-intervals over seeds.",
        ),
        "deciles": inline(
            "deciles",
            figures.onion_lines([by_decile], "decile of the nats in the models audited first"),
            "AUC of LiRA by decile of the nats before removal",
            "After the last round: LiRA's AUC on those who stay, by decile of the nats that the "
            "models audited first disclosed about them (10: most), mean over models.",
        ),
        "origin": inline(
            "origin",
            figures.bar_panels(
                [origins],
                [str(decile) for decile in deciles],
                "decile of the nats in the models audited first",
            ),
            "Where the examples with most nats after the last round come from",
            "After the last round: those who stay and have most nats now, by the decile of their "
            "nats in the models audited first, among those who stay.",
        ),
    }


def _rounds(scopes: Mapping[str, Any]) -> Iterator[tuple[list[str], Mapping[str, Any]]]:
    """First cells of a row, and the round."""
    for scope, rounds in scopes.items():
        for of_round in rounds:
            share = f"{100 * of_round['removed_share']['mean']:.1f}"
            yield [_FROM[scope], str(of_round["round"]), share], of_round


_SURVIVORS = (
    "Every row compares three attacks on the same pairs of model and example: models trained with "
    "nothing removed, models trained after the removal of the most disclosed, and models trained "
    "after the removal of as many at random. Pairs count that stay in both arms; where a member "
    "was removed, the same example does not count as a non-member of the model that was trained on "
    "the complementary half, so each example counts as often on either side."
)

_ATTACKER_KNOWS = (
    "Removal is part of the training algorithm: shadow models are made by the same rounds of audit "
    "and removal. Where examples are removed from each training set, the attacker's shadow models "
    "that were given an example may have removed it, as the target may have. Where they are "
    "removed from the pool, new random halves of what is left are drawn, and attacked."
)

_RULE = (
    "After the last round. Verdicts follow from 95 % t-intervals of differences paired by seed. "
    "Others become vulnerable: AUC and TPR above before, and above random removal. Others become "
    "the most unique: more new ones at the top than with nothing removed, and than after random "
    "removal. Those who stay are protected: AUC and TPR below before, and below random removal. "
    "Reproduced if all intervals lie on the claim's side of 0, partly if some do and none lies on "
    "the other side."
)

_FILES = [
    "config.json: options and versions; status.json: that the run completed.",
    "summary.json: every number of this page; claims.json: claims and verdicts.",
    "scores.parquet: per training (column defense), seed, model and training example: member, "
    "removed, nats, μ, scores of LiRA, RMIA and loss threshold.",
    "per_example.parquet: per training, seed and example: label, accumulated GNQ, nats, μ, attack "
    "score and AUC, share of the models given the example from which it was removed.",
    "test_accuracy.parquet: per training, seed, model and class. steps.parquet: per training, seed "
    "and step, mean over models.",
    "figures/: every figure as PNG and SVG.",
]
