"""The report of the job `leakage`: tables, figures and one HTML page."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from experiments.framework.claim import Claim
from experiments.framework.run_directory import RunDirectory
from experiments.framework.seeds import interval, number, percent
from experiments.inversion import SearchBudget, Space, curvature_text
from experiments.jobs.leakage.attributes import Attribute
from experiments.jobs.leakage.measures import (
    ATTACK,
    LATENT,
    SWEPT_LATENT,
    SWEPT_ORIGINAL,
    Measure,
    original,
)
from experiments.jobs.leakage.measuring import Measured
from experiments.jobs.leakage.observing import WHOLE
from experiments.jobs.leakage.plan import Plan
from experiments.jobs.leakage.recovering import Recovered
from experiments.report import figures, html, style
from experiments.report.figures import LayerPanel, PictureRow, ScatterPanel, SubspacePanel
from experiments.report.tables import Table, claims_table
from experiments.tasks.task import Task

if TYPE_CHECKING:
    from experiments.jobs.leakage.job import Options

_PICTURES = 8

_NAMES = {
    "attribute_linear": "V-information about the attribute, linear",
    "attribute_mlp": "V-information about the attribute, MLP",
    "input_linear": "V-information about the input, linear",
    "input_mlp": "V-information about the input, MLP",
    "auc": "AUC of attribute inference",
    "sensitivity": "sensitivity",
    "recovered": "recovered by inversion",
    "gnq": "GNQ",
    "gradient_norm": "gradient norm",
    "pointwise_attribute": "pointwise V-information, attribute",
    "pointwise_input": "pointwise V-information, input",
    "attack_confidence": "attacker's belief in the truth",
}


def write(
    directory: RunDirectory,
    options: "Options",
    task: Task,
    space: Space,
    attribute: Attribute,
    plan: Plan,
    summary: Mapping[str, Any],
    claims: Sequence[Claim],
    first: Measured,
) -> list[Table]:
    """Writes figures and `report.html`; returns the tables that the terminal shows.

    Args:
        directory: The run directory.
        options: Options of the job.
        task: Data, standardized, and model.
        space: How standardized inputs and pictures belong together.
        attribute: The private attribute.
        plan: What was measured.
        summary: What `analysis.summarize` returned.
        claims: What `claims.test_claims` returned.
        first: The first seed, whose reconstructions are shown.
    """
    is_image = space.is_image
    verdicts = claims_table(claims, _CLAIMS_NOTE)
    main = reference_table(plan, summary, is_image)
    draw = _Drawing(directory)
    sections = [
        html.section("Claims of the paper", html.table(verdicts)),
        html.section(
            "What each layer leaks",
            draw(
                "training_progress",
                _profiles(summary, "epoch", (*original(is_image), *LATENT), plan, 3),
                "Six measures of leakage over the layers, a line for each epoch",
                "What the gradient of one example gives away, layer by layer (input to the left, "
                "output to the right; shaded: fully connected layers after the convolutions), for "
                "networks trained for so many epochs. Upper row: about the input; lower row: about "
                f"the attribute ({attribute.meaning}). Points are means over seeds, bars 95 % "
                "t-intervals. Dotted: nothing leaked.",
            ),
            html.table(main),
            html.table(family_table(plan, summary)),
            html.table(controls_table(summary)),
        ),
        html.section("Threat model", *_threat_model(options, attribute)),
        *_sweeps(draw, plan, summary),
        html.section(
            "Subspaces of gradients with and without the attribute",
            draw(
                "subspaces",
                _subspaces_figure(plan, summary),
                "Subspace distance over the dimension, with its control, for every layer",
                "Distance between the spans of the first k right singular vectors of gradients "
                "with and without the attribute (projection-F distance over √k, so that 0 is "
                f"equal and 1 orthogonal), at epoch {plan.reference_epoch}. Two finite samples of "
                "the same gradients are not at distance 0: the property shows only where the "
                "distance is above that of shuffled sets. Bars are 95 % t-intervals over seeds.",
            ),
        ),
        html.section(
            "Do the measures agree?",
            html.paragraph(
                "V-information should predict how well an attribute is inferred, sensitivity and "
                "V-information about the input what inversion recovers. Layer by layer, an attack "
                "matches the gradient of one layer only; example by example, the whole gradient. "
                f"GNQ is measured within the {plan.examples} examples, with a ridge of "
                f"{plan.relative_ridge:g} × their mean squared gradient norm."
            ),
            draw(
                "agreement",
                _scatter(plan, summary, is_image),
                "V-information against attack success, and sensitivity against inversion",
                "Left: every layer under every condition. Right: every layer where gradients were "
                "inverted. Points are means over seeds.",
            ),
            draw(
                "correlations",
                _correlations_figure(summary, is_image),
                "Rank correlations between measures, over layers and over examples",
                "Spearman's correlation within each seed; points are means over seeds, bars 95 % "
                "t-intervals. Left: over layers (and conditions). Right: over examples, of the "
                "whole gradient.",
            ),
            html.table(correlations_table(summary, is_image)),
        ),
    ]
    if is_image:
        truth = task.dataset.train.x[first.pool.indices[: plan.victims]]
        sections.append(_gallery(draw, plan, space.restore(truth), first.recovered))
    sections += [
        html.section("Networks", html.table(networks_table(summary))),
        html.section("Files of this run", html.bullets(_FILES)),
    ]
    title = f"What each layer's gradient gives away: {task.model_name} on {task.dataset.name}"
    lead = (
        f"Attribute: {attribute.meaning} ({100 * attribute.values.mean():.0f} % of the training "
        f"examples). {plan.examples} examples of {len(task.dataset.train)}, {options.seeds} seeds "
        "with networks and examples of their own. ± is the 95 % t-interval of the mean over seeds."
    )
    directory.file("report.html").write_text(html.page(title, lead, sections))
    return [verdicts, main]


def reference_table(plan: Plan, summary: Mapping[str, Any], is_image: bool) -> Table:
    """Every measure of every layer, in the reference."""
    measures = (*original(is_image), *LATENT)
    sweep = summary["sweeps"]["epoch"]
    at = sweep["levels"].index(plan.reference_epoch)
    rows = [
        [layer, *(number(sweep["measures"][m.column][layer][at], 2) for m in measures)]
        for layer in (*plan.layers, WHOLE)
    ]
    return Table(
        f"What the gradient of one example leaks, at epoch {plan.reference_epoch}",
        ("layer", *(_heading(measure) for measure in measures)),
        rows,
        "Predictors of V-information: linear plus one hidden layer of 16. Sensitivity: relative "
        "change of the gradient per relative change of the input, median over examples. AUC: 0.5 "
        "is guessing. Subspace distance: over √k, minus that of shuffled sets, mean over k.",
    )


def family_table(plan: Plan, summary: Mapping[str, Any]) -> Table:
    """V-information of both families, in the reference."""
    sweep = summary["sweeps"]["epoch"]
    at = sweep["levels"].index(plan.reference_epoch)
    columns = ("attribute_linear", "attribute_mlp", "input_linear", "input_mlp")
    rows = [
        [layer, *(number(sweep["measures"][name][layer][at], 3) for name in columns)]
        for layer in (*plan.layers, WHOLE)
    ]
    return Table(
        f"V-information in nats by family of predictors, at epoch {plan.reference_epoch}",
        ("layer", *(_NAMES[name] for name in columns)),
        rows,
        f"About the first {plan.input_components} principal components of the input, summed, under "
        "Gaussian predictive distributions; about the attribute at most its entropy.",
    )


def controls_table(summary: Mapping[str, Any]) -> Table:
    """V-information with the target shuffled."""
    rows = [
        [
            _NAMES[name],
            f"{entry['mean']:+.4f}",
            f"{entry['largest']:.4f}",
            f"{100 * entry['covers_zero']:.1f}",
            str(entry["count"]),
        ]
        for name, entry in summary["controls"].items()
    ]
    return Table(
        "Control: V-information with the target shuffled (nats)",
        ("", "mean", "largest, absolute", "intervals that cover 0 (%)", "estimates"),
        rows,
        "Over all layers, conditions and seeds. It must come out at 0.",
    )


def correlations_table(summary: Mapping[str, Any], is_image: bool) -> Table:
    """Rank correlations with intervals."""
    rows = [
        [
            f"{_name(entry['pair'][0], is_image)} – {_name(entry['pair'][1], is_image)}",
            f"{kind}, {entry['where']}",
            str(entry["points"]),
            number(entry["spearman"], 2),
        ]
        for kind in ("layers", "examples")
        for entry in summary["correlations"][kind]
    ]
    return Table(
        "Spearman's rank correlation",
        ("measures", "over", "points per seed", "correlation"),
        rows,
        "Mean over seeds ± 95 % t-interval. – where a measure is constant.",
    )


def networks_table(summary: Mapping[str, Any]) -> Table:
    """Test accuracy of the networks."""
    rows = [
        [str(entry["epoch"]), f"{entry['dropout']:g}", percent(entry["test_accuracy"])]
        for entry in summary["networks"]
    ]
    return Table(
        "Networks whose gradients were looked at",
        ("epochs of training", "dropout", "test accuracy (%)"),
        rows,
    )


class _Drawing:
    """Saves figures and inlines them."""

    def __init__(self, directory: RunDirectory):
        self._directory = directory

    def __call__(self, name: str, figure: Any, alt: str, caption: str) -> str:
        path = style.save(figure, self._directory.file(f"figures/{name}"))
        return html.figure(path, alt, caption)


def _profiles(
    summary: Mapping[str, Any],
    sweep: str,
    measures: Sequence[Measure],
    plan: Plan,
    columns: int,
) -> Any:
    entry = summary["sweeps"][sweep]
    panels = []
    for measure in measures:
        of_layers = entry["measures"][measure.column]
        lines = []
        for level, label in enumerate(entry["labels"]):
            values = [interval(of_layers[layer][level]) for layer in plan.layers]
            if not all(np.isnan(value.mean) for value in values):
                lines.append((label, values))
        panels.append(
            LayerPanel(_heading(measure), lines, measure.nothing, measure.log_scale, measure.limits)
        )
    return figures.layer_profiles(
        panels, [_short(name) for name in plan.layers], len(plan.fully_connected), columns
    )


def _sweeps(draw: _Drawing, plan: Plan, summary: Mapping[str, Any]) -> list[str]:
    sections = []
    for sweep in plan.sweeps[1:]:
        name = sweep.name.replace(",", "_")
        sections.append(
            html.section(
                _TITLES[sweep.name],
                draw(
                    name,
                    _profiles(summary, sweep.name, (*SWEPT_ORIGINAL, *SWEPT_LATENT), plan, 4),
                    f"Four measures of leakage over the layers, a line for each level of "
                    f"{sweep.title}",
                    f"{_CAPTIONS[sweep.name]} Networks after {plan.reference_epoch} epoch(s) of "
                    "training. Points are means over seeds, bars 95 % t-intervals.",
                ),
            )
        )
    return sections


def _subspaces_figure(plan: Plan, summary: Mapping[str, Any]) -> Any:
    panels = []
    for layer in (*plan.layers, WHOLE):
        by_k = summary["subspaces"][layer]
        panels.append(
            SubspacePanel(
                _short(layer),
                [int(k) for k in by_k],
                [interval(entry["distance"]) for entry in by_k.values()],
                [interval(entry["control"]) for entry in by_k.values()],
            )
        )
    return figures.subspace_distances(panels)


def _scatter(plan: Plan, summary: Mapping[str, Any], is_image: bool) -> Any:
    def points(sweep: str, level: int, name: str) -> list[float]:
        of_layers = summary["sweeps"][sweep]["measures"][name]
        return [of_layers[layer][level]["mean"] for layer in plan.layers]

    swept = []
    for name, entry in summary["sweeps"].items():
        levels = range(len(entry["levels"])) if name == "epoch" else range(1, len(entry["levels"]))
        x, y = (
            [value for level in levels for value in points(name, level, column)]
            for column in ("attribute_mlp", "auc")
        )
        swept.append((entry["title"], x, y))
    epochs = summary["sweeps"]["epoch"]
    panels = [ScatterPanel("V-information about the attribute (nats)", ATTACK.label, swept)]
    for column, label, log_x in (
        ("sensitivity", "input sensitivity (relative)", True),
        ("input_mlp", "V-information about the input (nats)", False),
    ):
        inverted = []
        for level, epoch in enumerate(epochs["levels"]):
            if epoch in plan.recovery_epochs:
                x, y = points("epoch", level, column), points("epoch", level, "recovered")
                inverted.append((epochs["labels"][level], x, y))
        panels.append(ScatterPanel(label, original(is_image)[2].label, inverted, log_x))
    return figures.layer_scatter(panels)


def _correlations_figure(summary: Mapping[str, Any], is_image: bool) -> Any:
    panels = []
    for kind, title in (("layers", "over layers"), ("examples", "over examples")):
        pairs: dict[str, list[Any]] = {}
        for entry in summary["correlations"][kind]:
            names = " –\n".join(_name(name, is_image) for name in entry["pair"])
            pairs.setdefault(names, []).append((entry["where"], interval(entry["spearman"])))
        panels.append((title, list(pairs.items())))
    return figures.correlation_intervals(panels)


def _name(column: str, is_image: bool) -> str:
    if column == "recovered" and is_image:
        return "SSIM of inversion"
    return _NAMES[column]


def _heading(measure: Measure) -> str:
    return f"{measure.label} ({measure.unit})" if measure.unit else measure.label


def _short(layer: str) -> str:
    """The name of a layer, without what makes it long."""
    return layer.replace("convolutions/", "conv ").replace("/", " ")


_TITLES = {
    "batch_size": "Batch size: batches that share the attribute",
    "batch_size,mixed": "Batch size: one example among others",
    "dropout": "Dropout",
    "noise": "Noise on the gradient",
}

_CAPTIONS = {
    "batch_size": "The mean gradient of batches that share the attribute: what is inferred is the "
    "attribute of all of them, and about the input of one. Averaging hides the one input, but can "
    "show the common attribute more clearly than one example does.",
    "batch_size,mixed": "The mean gradient of batches of which one example is the victim's and the "
    "others are drawn at random: what is inferred is about the victim's.",
    "dropout": "Networks trained with dropout before the fully connected layers, whose gradients "
    "are drawn with it too.",
    "noise": "Gaussian noise on every entry of the gradient; levels are its standard deviation "
    "over the median norm of one example's gradient, which is the noise multiplier of DP-SGD that "
    "clips there, at batch size 1.",
}

_CLAIMS_NOTE = (
    "Rules, fixed before the run. First two claims: largest value over the layers of one part of "
    "the network minus largest over the other, mean over epochs. Others: mean over layers at the "
    "first level minus that at the last. Differences of decimal logarithms for the sensitivity. "
    "The sensitivity under noise is that of the noiseless gradient over the norm with noise: it "
    "falls by construction. Positive where the claim holds; 95 % t-intervals over seeds. "
    "Reproduced: every interval above 0; partly: some, and none below 0; else not reproduced."
)

_FILES = [
    "config.json: options and versions; status.json: that the run completed.",
    "summary.json: every number of this page. claims.json: claims and verdicts.",
    "layers.parquet: per seed, condition and layer: V-information by target and family with "
    "bootstrap interval and control, attribute inference, sensitivity, median GNQ (of single "
    "gradients of that network) and gradient norm.",
    "subspaces.parquet: per seed, condition, layer and k: subspace distance over √k and its "
    "control.",
    "examples.parquet: per seed, epoch, layer and example: GNQ, pointwise V-information, "
    "sensitivity, the attacker's belief, and what inversion of that layer's gradient recovered.",
    "networks.parquet: per seed and network: test accuracy.",
    "figures/: every figure as PNG and SVG.",
]


def _threat_model(options: "Options", attribute: Attribute) -> list[str]:
    return [
        html.paragraph(
            "Attacker of the attribute. Sees the gradient that a participant shares, of one "
            "example or averaged over a batch, or that of one layer of it. Knows the network and "
            "its parameters, and has examples of his own from the same distribution whose "
            "attribute he knows: he computes their gradients, as they would be shared, and trains "
            "a predictor on them. He wants to know whether "
            f"{attribute.meaning}. V-information measures what a family of predictors (linear, or "
            "with one hidden layer) can use, in nats, on examples that they were not trained on; "
            "attribute inference is logistic regression. Both see the first "
            f"{options.width} principal coordinates of a layer's gradient. The victim's examples "
            "are among those that the network is trained on."
        ),
        html.paragraph(
            "Attacker of the input. Sees the gradient of one example, knows the network and the "
            "label, and searches for the input whose gradient points the same way (Inverting "
            f"Gradients, {options.iterations} steps); layer by layer, he matches the gradient of "
            f"that layer only. {curvature_text(SearchBudget.sharpness)} Sensitivity and "
            "V-information about the input are no attacks: they say how much there is to use."
        ),
        html.paragraph(
            "Nobody defends, but where dropout or noise is varied; an attacker under noise trains "
            "on noisy gradients too. GNQ is about another threat, membership: the ridge of "
            f"{options.relative_ridge:g} is noise that is assumed, not added."
        ),
    ]


def _gallery(
    draw: _Drawing,
    plan: Plan,
    truth: Float[np.ndarray, "victims h w c"],
    recovered: Mapping[tuple[int, str], Recovered],
) -> str:
    drawn = []
    for epoch in plan.recovery_epochs:
        grid = [PictureRow("truth", truth[:_PICTURES])]
        for layer in (*plan.layers, WHOLE):
            found = recovered[epoch, layer]
            ssim, success = (
                found.quality[name].to_numpy()[:_PICTURES] for name in ("ssim", "success")
            )
            grid.append(PictureRow(_short(layer), found.inputs[:_PICTURES], ssim, success))
        drawn.append(
            draw(
                f"inversion_epoch_{epoch}",
                figures.reconstruction_grid(grid),
                f"Images reconstructed from the gradient of each layer alone, at epoch {epoch}",
                f"Inverting Gradients after {epoch} epochs of training, on the gradient of each "
                "layer alone and on the whole; first victims of the first seed. Numbers are SSIM, "
                "a green frame is an SSIM above 0.6.",
            )
        )
    return html.section("What inversion recovers from each layer alone", *drawn)
