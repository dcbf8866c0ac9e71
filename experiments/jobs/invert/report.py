"""The report of the job: tables, pictures and one HTML page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.framework.claim import Claim
from experiments.framework.run_directory import RunDirectory
from experiments.framework.seeds import number, percent, share
from experiments.inversion import attacking, defenses
from experiments.inversion.analysis import ATTACKS, of_pair, strongest
from experiments.inversion.runs import TRUTH, Plan, Results
from experiments.jobs.invert.claims import SAFE
from experiments.report import figures, html, style
from experiments.report.tables import Table, claims_table
from gujax.statistics import Interval

if TYPE_CHECKING:
    from experiments.jobs.invert.job import Options

_SHOWN = 8  # pictures per attack
_BARS = {"ig": "#222222", "adaptive": "#D55E00", "averaged": "#0072B2", "analytic": "#009E73"}
_UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


def write(
    directory: RunDirectory,
    options: "Options",
    plan: Plan,
    results: Results,
    summary: Mapping[str, Any],
    claims: Sequence[Claim],
) -> list[Table]:
    """Writes figures and `report.html`; returns the tables that the terminal shows.

    Args:
        directory: The run directory.
        options: Options of the job.
        plan: What was done.
        results: What was measured.
        summary: What `analysis.summarize` returned.
        claims: What `claims.claims` returned.
    """
    main = main_table(options, plan, summary)
    verdicts = claims_table(claims, "Positive effects over seeds, 95 % t-intervals above 0.")
    drawn = _draw(directory, plan, results, summary)
    sections = [
        html.section("What was reconstructed", *_reading(summary), html.table(main)),
        html.section("Success by attack", drawn["success"]),
    ]
    if "pictures" in drawn:
        sections.append(html.section("Pictures", drawn["pictures"]))
    sections += [
        html.section(
            "Are unique gradients easier to invert?",
            drawn["uniqueness"],
            html.table(uniqueness_table(options, plan, summary)),
        ),
        html.section("Claims", html.table(verdicts)),
        html.section("Threat model", *map(html.paragraph, _threat_model(options, plan))),
        html.section(
            "Defenses and attacks", html.table(_defenses_table(plan)), html.table(_attacks_table())
        ),
        html.section("Files of this run", html.bullets(_FILES)),
    ]
    state = f"after {plan.epochs} epochs" if plan.epochs else "at initialization"
    lead = (
        f"{plan.task.dataset.name}, {plan.task.model_name} {state}. {plan.seeds} seeds × "
        f"{plan.victims} examples; other examples, parameters and noise per seed. ± is the 95 % "
        "t-interval of the mean over seeds."
    )
    title = f"Inversion of shared updates on {plan.task.dataset.name}"
    directory.file("report.html").write_text(html.page(title, lead, sections))
    return [main, verdicts]


def main_table(options: "Options", plan: Plan, summary: Mapping[str, Any]) -> Table:
    """One row per defense and attack."""
    similarity = [("SSIM", "ssim", 2), ("PSNR (dB)", "psnr", 1)]
    columns = similarity if plan.space.is_image else [("rel. error", "feature_error", 2)]
    rows = [
        [
            label,
            attacking.REGISTRY[name].label,
            *(_number(measured[measure], digits) for _, measure, digits in columns),
            _percent(measured["success"]),
            _percent(measured["label_recovered"]),
        ]
        for label, entry in summary["defenses"].items()
        for name, measured in entry["attacks"].items()
    ]
    success = (
        f"SSIM above {options.ssim_threshold:g}"
        if plan.space.is_image
        else "relative error of the standardized input below 0.1"
    )
    return Table(
        "Reconstruction by defense and attack",
        ("defense", "attack", *(name for name, _, _ in columns), "success (%)", "labels (%)"),
        rows,
        f"Mean ± 95 % t-interval over {plan.seeds} seeds. Success: {success}. IG: "
        "Inverting Gradients. The adaptive attack knows the defense; where it is missing, "
        "the first attack's model of the update is already what the victim computes.",
    )


def uniqueness_table(options: "Options", plan: Plan, summary: Mapping[str, Any]) -> Table:
    """Rank correlation of uniqueness and reconstruction."""
    rows = [
        [label, attacking.REGISTRY[name].label, number(measured["spearman"], 2)]
        for label, entry in summary["defenses"].items()
        for name, measured in entry["attacks"].items()
        if measured["spearman"] is not None
    ]
    return Table(
        "Spearman correlation of gradient uniqueness and quality of the reconstruction",
        ("defense", "attack", "Spearman"),
        rows,
        f"GNQ of an example's gradient within a batch of {plan.victims} victims and "
        f"{plan.reference} others, at the parameters at which updates were shared, with a ridge of "
        f"{options.relative_ridge:g} × the batch's mean squared gradient norm. Correlation within "
        "each seed, then mean ± 95 % t-interval over seeds.",
    )


def _draw(
    directory: RunDirectory, plan: Plan, results: Results, summary: Mapping[str, Any]
) -> dict[str, str]:
    """Figures as HTML, by name."""
    entries = summary["defenses"]
    bars = success_bars(entries)
    panels = []
    quality = summary["quality"]
    for label, entry in entries.items():
        if name := strongest(entry):
            frame = of_pair(results.frame, label, name)
            panels.append(
                figures.QualityPanel(
                    f"{label}\n({attacking.REGISTRY[name].label})",
                    frame["uniqueness"].to_numpy(),
                    frame[quality].to_numpy(),
                    frame["seed"].to_list(),
                )
            )
    made = {}
    if bars:
        panel = figures.BarPanel("", "examples reconstructed", bars, in_percent=True)
        made["success"] = (
            figures.bar_panels([[panel]], list(entries)),
            "Share of examples that each attack reconstructed. The bar of an attacker who does "
            "not know the defense says little about it: see the other ones.",
        )
    if panels:
        threshold = plan.ssim_threshold if quality == "ssim" else 0.1
        name = "SSIM" if quality == "ssim" else "relative error"
        made["uniqueness"] = (
            figures.quality_by_uniqueness(panels, threshold, f"{name} of the reconstruction"),
            "One point per example, under the strongest search made on each defense; dotted: the "
            "threshold of success.",
        )
    if plan.space.is_image:
        made["pictures"] = (
            figures.reconstruction_grid(picture_rows(results)),
            f"The first {_SHOWN} examples of seed 0, and what each attack made of their updates. "
            "Below each its SSIM; a green frame is a success.",
        )
    drawn = {"success": "", "uniqueness": ""}
    for name, (figure, caption) in made.items():
        path = style.save(figure, directory.file(f"figures/{name}"))
        drawn[name] = html.figure(path, caption, caption)
    return drawn


def success_bars(defenses: Mapping[str, Any]) -> list[figures.Bars]:
    """Success of each attack over the defenses of a summary."""
    return [
        figures.Bars(
            attacking.REGISTRY[name].label,
            tint,
            [
                share(entry["attacks"][name]["success"]) if name in entry["attacks"] else _UNKNOWN
                for entry in defenses.values()
            ],
        )
        for name, tint in _BARS.items()
        if any(name in entry["attacks"] for entry in defenses.values())
    ]


def picture_rows(results: Results) -> list[figures.PictureRow]:
    """The first pictures of the first seed: the truth, then each defense and attack."""
    shown = [figures.PictureRow("truth", results.pictures[TRUTH][:_SHOWN])]
    first = results.frame.filter(results.frame["seed"] == 0)
    for (label, name), images in results.pictures.items():
        if (label, name) == TRUTH:
            continue
        frame = of_pair(first, label, name)[:_SHOWN]
        shown.append(
            figures.PictureRow(
                f"{label}\n{attacking.REGISTRY[name].label}",
                images[:_SHOWN],
                frame["ssim"].to_numpy(),
                frame["success"].to_numpy(),
            )
        )
    return shown


def _reading(summary: Mapping[str, Any]) -> list[str]:
    """The table in a few sentences."""
    held: list[str] = []
    broken: list[str] = []
    for label, entry in summary["defenses"].items():
        if entry["family"] == "none" or (name := strongest(entry, ATTACKS)) is None:
            continue
        success = entry["attacks"][name]["success"]
        text = f"{label} ({percent(success)} % under {attacking.REGISTRY[name].label})"
        (held if success["mean"] <= SAFE else broken).append(text)
    sentences = []
    if broken:
        sentences.append(
            f"More than {100 * SAFE:.0f} % of examples were reconstructed in spite of "
            + ", ".join(broken)
            + "."
        )
    if held:
        sentences.append(
            f"At most {100 * SAFE:.0f} % were reconstructed under " + ", ".join(held) + "."
        )
    exact = [
        label
        for label, entry in summary["defenses"].items()
        if "analytic" in entry["attacks"] and entry["attacks"]["analytic"]["success"]["mean"] > 0.5
    ]
    if exact:
        sentences.append(
            "Without any search, the analytic attack reads most inputs off the first fully "
            "connected layer under " + ", ".join(exact) + "."
        )
    return [html.paragraph(sentence) for sentence in sentences]


def _threat_model(options: "Options", plan: Plan) -> list[str]:
    budget = plan.budget
    return [
        "Attacker: an honest but curious server. Knows the network, its parameters and the loss, "
        "sees the update of one client, and wants the client's inputs. Searches are told the "
        "labels, which `iDLG labels` and `label counts` show to be had from the update itself; "
        "DLG searches for them. The order of a batch is not known: reconstructions are assigned "
        "to examples where they fit best.",
        "The attack called Inverting Gradients does not know of the defense. The adaptive attack "
        "does: of a bottleneck it leaves out the leaves that are stochastic; of noise it smooths "
        "three times as much; of pruning it compares only entries that survived; of local steps "
        "it models the steps; of gate, clip and DP-SGD it is even told the weight of every "
        "example. A batch is known to both. The noise-averaged attack matches all leaves with a "
        f"gradient averaged over {defenses.DRAWS} draws of the bottleneck's noise. No attacker "
        "knows the victim's noise.",
        f"Searches take {budget.iterations} steps of signed Adam at {budget.learning_rate:g}, "
        f"total variation {budget.total_variation:g}, {budget.restarts} start(s), on inputs "
        "standardized with the training split's mean and deviation, within the limits of black "
        "and white. What they fail to reconstruct, a longer or better search may: success is a "
        f"lower bound. {attacking.curvature_text(plan.budget.sharpness)}",
        "Noise is given as a multiple: its standard deviation over the root mean square of the "
        "entries that it is added to (of DP-SGD: over the clipping norm, on the sum of a batch).",
    ]


def _defenses_table(plan: Plan) -> Table:
    rows = [
        [
            shared.label,
            "–" if shared.strength is None else f"{shared.strength:g}",
            defenses.REGISTRY[shared.family].meaning or "–",
            str(shared.num_examples),
        ]
        for shared in plan.shared_updates
    ]
    return Table("Defenses", ("defense", "strength", "which is", "examples per update"), rows)


def _attacks_table() -> Table:
    rows = [[attack.label, name, attack.what] for name, attack in attacking.REGISTRY.items()]
    return Table("Attacks", ("attack", "option", "what it does"), rows)


_FILES = [
    "config.json: options and versions; status.json: that the run completed.",
    "summary.json: every number of this page; claims.json: the verdicts.",
    "examples.parquet: per seed, defense, attack and example: id, label, MSE, PSNR, SSIM, relative "
    "error, success, whether the label was recovered, matching loss, GNQ.",
    "pictures.npz: reconstructions of the first seed, by defense and attack.",
    "figures/: every figure as PNG and SVG.",
]


def _number(entry: Mapping[str, Any] | None, digits: int) -> str:
    return "–" if entry is None else number(entry, digits)


def _percent(entry: Mapping[str, Any] | None) -> str:
    return "–" if entry is None else percent(entry)


def save_pictures(directory: RunDirectory, results: Results, name: str = "pictures") -> None:
    """Writes the reconstructions themselves to ``name``.npz."""
    arrays: dict[str, Any] = {
        f"{label} / {name}".strip(" /"): images
        for (label, name), images in results.pictures.items()
    }
    np.savez_compressed(directory.file(f"{name}.npz"), **arrays)
