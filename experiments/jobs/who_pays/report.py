"""The report of who pays: tables, figures and one HTML page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.framework.claim import Claim
from experiments.framework.run_directory import RunDirectory
from experiments.framework.seeds import interval, number, percent
from experiments.jobs.who_pays.analysis import EXPOSURES, IMBALANCED, WHOLE
from experiments.jobs.who_pays.groups import COMMON, RARE
from experiments.report import figures, html, style, threat_models
from experiments.report.tables import Table, claims_table
from experiments.tasks.recipe import RecipeBook
from experiments.tasks.task import Task
from gujax.statistics import Interval

if TYPE_CHECKING:
    from experiments.jobs.who_pays.job import Options

_TINTS = {
    "rare": ("rare groups", "#D55E00"),
    "common": ("common groups", "#7a828c"),
    "rare_as_it_is": ("the same, not rare", "#E8B48F"),
}


def write(
    directory: RunDirectory,
    options: "Options",
    task: Task,
    book: RecipeBook,
    summary: Mapping[str, Any],
    claims: Sequence[Claim],
) -> list[Table]:
    """Writes figures and `report.html`; returns the tables that the terminal shows.

    Args:
        directory: The run directory.
        options: Options of the job.
        task: Data, as they are, and model.
        book: Hyperparameters and the search that found them.
        summary: What `analysis.summarize` returned.
        claims: Claims with their verdicts.
    """
    variants = summary["variants"]
    drawn = _draw(directory, summary)
    rare, worst = rare_table(summary), worst_table(variants)
    verdicts = claims_table(claims, _RULE)
    names = ", ".join(
        name
        for name, size in variants[IMBALANCED]["sizes"].items()
        if size["train"] != variants[WHOLE]["sizes"][name]["train"] and name != RARE
    )
    sizes = variants[IMBALANCED]["sizes"]
    sections = [
        html.section("Rare and common groups", html.table(rare), drawn["rare_and_common"]),
        html.section("Worst groups", html.table(worst), html.paragraph(_WORST)),
        html.section("Claims and verdicts", html.table(verdicts)),
        *(
            [html.section("Who is taken away", html.paragraph(_TAKEN), drawn["taken"])]
            if "taken" in drawn
            else []
        ),
        *(
            html.section(f"All groups, data {variant}", *map(html.table, group_tables(entry)))
            for variant, entry in variants.items()
        ),
        html.section(
            "Threat model",
            html.paragraph(threat_models.of_attacks(options.shadow_models)),
            html.paragraph(
                "Within a group the attacker sets a threshold for this group alone: rates of true "
                "and false positives are those among the group's members and non-members. Knowing "
                "the group costs nothing, it is known of the example in question. Censored "
                "examples count as members: they were handed to the trainer."
            ),
            html.paragraph(threat_models.of_predictions(options.relative_ridge)),
        ),
        html.section(
            "Data and training",
            html.paragraph(
                f"Rare ({options.group_by}): {names}, of which {100 * options.keep:g} % of the "
                f"training examples are kept ({sizes[RARE]['train']} of "
                f"{variants[WHOLE]['sizes'][RARE]['train']}; {sizes[COMMON]['train']} are of "
                "common groups). The test split is the same in both variants. Hyperparameters were "
                f"tuned on {book.dataset}, for the data as they are; censoring trains as plain SGD "
                "does."
            ),
        ),
        html.section("Files of this run", html.bullets(_FILES)),
    ]
    lead = (
        f"{task.dataset.name}, {task.model_name}: the data as they are, and with rare groups. "
        f"{options.seeds} seeds × {options.shadow_models} models per defense and variant, each "
        "trained on a random half of the training examples. ± is the 95 % t-interval of the mean "
        "over seeds; differences are paired by seed."
    )
    title = f"Who pays for privacy on {task.dataset.name}"
    directory.file("report.html").write_text(html.page(title, lead, sections))
    return [rare, worst, verdicts]


def rare_table(summary: Mapping[str, Any]) -> Table:
    """Accuracy, exposure and removal of rare groups beside common ones."""
    effects = summary["effects"]
    groups = [(IMBALANCED, RARE), (IMBALANCED, COMMON), (WHOLE, RARE)]
    rows = []
    for label in summary["variants"][IMBALANCED]["defenses"]:
        entries = [
            summary["variants"][variant]["defenses"][label]["groups"][group]
            for variant, group in groups
        ]
        cost, taken = effects["cost"].get(label), effects["over_representation"].get(label)
        kinds = ("rare", "common", "rare_as_it_is")
        for index, (kind, entry) in enumerate(zip(kinds, entries)):
            rows.append(
                [
                    label if index == 0 else "",
                    _TINTS[kind][0],
                    percent(entry["accuracy"]),
                    percent(cost[kind]) if cost else "–",
                    number(entry["auc"], 3),
                    percent(entry["tpr_at_1pct"], 2),
                    number(taken[kind], 2) if taken else "–",
                ]
            )
    return Table(
        "Rare groups beside common ones, and beside themselves when they are not rare",
        ("defense", "groups", "accuracy", "lost", "AUC", "TPR@1 %", "taken"),
        rows,
        "Accuracy, accuracy lost against plain SGD and TPR at 1 % FPR in percent; AUC and TPR are "
        "LiRA's within the groups. Taken: share in what is taken away over share in the members.",
    )


def worst_table(variants: Mapping[str, Any]) -> Table:
    """The worst group of each seed."""
    rows = [
        [
            label,
            variant,
            percent(entry["test_accuracy"]),
            percent(entry["worst"]["accuracy"]),
            number(entry["worst"]["auc"], 3),
            percent(entry["worst"]["tpr_at_1pct"], 1),
        ]
        for variant, of_variant in variants.items()
        for label, entry in of_variant["defenses"].items()
    ]
    return Table(
        "Worst group of each seed (percent, but for AUC)",
        ("defense", "data", "accuracy", "worst accuracy", "worst AUC", "worst TPR@1 %"),
        rows,
        "Accuracy: over all test examples, and of the group with the least. AUC and TPR: of the "
        "group that LiRA does best on.",
    )


def group_tables(variant: Mapping[str, Any]) -> Iterator[Table]:
    """Accuracy, exposure, nats and removal of every group, one table each."""
    measures = {
        "accuracy": ("Test accuracy (percent)", percent),
        "auc": ("LiRA's AUC", lambda entry: number(entry, 3)),
        "tpr_at_1pct": ("LiRA's TPR at 1 % FPR (percent)", percent),
        "nats": ("Mean accumulated nats of members", lambda entry: number(entry, 3)),
        "over_representation": (
            "Share in what is taken away over share in the members",
            lambda entry: number(entry, 2),
        ),
    }
    defenses = variant["defenses"]
    for measure, (title, show) in measures.items():
        labels = [
            label for label, entry in defenses.items() if entry["groups"][RARE][measure] is not None
        ]
        rows = [
            [
                name,
                str(size["train"]),
                str(size["test"]),
                *(show(defenses[label]["groups"][name][measure]) for label in labels),
            ]
            for name, size in variant["sizes"].items()
        ]
        yield Table(title, ("group", "training examples", "test examples", *labels), rows)


def _draw(directory: RunDirectory, summary: Mapping[str, Any]) -> dict[str, str]:
    """Draws and saves every figure; returns their HTML by name."""
    effects, variants = summary["effects"], summary["variants"]

    def inline(name: str, figure, alt: str, caption: str) -> str:
        path = style.save(figure, directory.file(f"figures/{name}"))
        return html.figure(path, alt, caption)

    labels = list(effects["exposure"])

    def bars(values: Sequence[Mapping[str, Any] | None]) -> list[figures.Bars]:
        return [
            figures.Bars(*named, [interval(v[kind]) if v else _NOTHING for v in values])
            for kind, named in _TINTS.items()
        ]

    auc, tpr = ([effects["exposure"][label][name] for label in labels] for name in EXPOSURES)
    accuracy = [
        {
            kind: variants[variant]["defenses"][label]["groups"][group]["accuracy"]
            for kind, (variant, group) in zip(
                _TINTS, ((IMBALANCED, RARE), (IMBALANCED, COMMON), (WHOLE, RARE))
            )
        }
        for label in labels
    ]
    cost = [effects["cost"].get(label) for label in labels]
    panels = [
        figures.BarPanel("Test accuracy", "", bars(accuracy), in_percent=True),
        figures.BarPanel("Accuracy lost against plain SGD", "", bars(cost), in_percent=True),
        figures.BarPanel("LiRA: AUC", "", bars(auc), reference=0.5),
        figures.BarPanel("LiRA: TPR at 1 % FPR", "", bars(tpr), True, reference=0.01),
    ]
    sizes = variants[IMBALANCED]["sizes"]
    names = [name for name in sizes if name not in (RARE, COMMON)]
    taken = [
        [
            figures.BarPanel(
                label,
                "times its share",
                [
                    figures.Bars(
                        f"data {variant}",
                        tint,
                        [
                            interval(of_groups[name]["over_representation"])
                            for name in names
                            for of_groups in [variants[variant]["defenses"][label]["groups"]]
                        ],
                    )
                    for variant, tint in ((WHOLE, "#b4bac2"), (IMBALANCED, "#D55E00"))
                ],
                reference=1.0,
            )
        ]
        for label in effects["over_representation"]
    ]
    drawn = {
        "rare_and_common": inline(
            "rare_and_common",
            figures.bar_panels([panels[:2], panels[2:]], labels, share_y=False),
            "Accuracy, accuracy lost and LiRA's success on rare and common groups",
            "Rare and common groups of the imbalanced data, and the rare groups in the data as "
            "they are. Bars of AUC and TPR begin at what guessing reaches. Error bars are 95 % "
            "t-intervals over seeds.",
        ),
    }
    if taken:
        drawn["taken"] = inline(
            "taken",
            figures.bar_panels(taken, names, "group"),
            "Over-representation of each group in what is taken away",
            "Share of each group in what a mechanism takes away over its share in the training "
            "sets; 1 is even-handed.",
        )
    return drawn


_NOTHING = Interval(0.0, 0.0, 0.0)

_TAKEN = (
    "Share of a group in what a mechanism takes away over its share in the training sets. "
    "Censoring takes away examples; the gate takes away an example's part in an epoch, so each "
    "example counts with the share of epochs in which it was dropped."
)

_WORST = (
    "The worst of several groups is worse than each of them by chance alone, the more so the fewer "
    "examples they have: compare worst groups between defenses on the same data, not between the "
    "data as they are and the imbalanced data."
)

_RULE = (
    "Each claim is tested by two contrasts, paired by seed: rare groups against common ones in the "
    "imbalanced data, and rare groups against themselves in the data as they are. Reproduced if "
    "all 95 % t-intervals lie above 0, partly if some do and none lies below."
)

_FILES = [
    "config.json: options and versions; status.json: that the run completed.",
    "summary.json: every number of this page; claims.json: claims and verdicts.",
    "as_it_is/ and imbalanced/, each with scores.parquet (per defense, seed, model and training "
    "example: member, removed, nats, μ, scores of LiRA, RMIA and loss threshold), "
    "per_example.parquet (with label and subgroup), test_accuracy.parquet (per class) and "
    "steps.parquet.",
    "figures/: every figure as PNG and SVG.",
]
