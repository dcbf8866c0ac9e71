"""What the job shows: tables and figures; their words are in `report.html.jinja`."""

from collections.abc import Sequence

import numpy as np

from experiments.framework.results import Results
from experiments.jobs.leakage import measures
from experiments.jobs.leakage.analysis import CONTROLLED
from experiments.jobs.leakage.conditions import Sweep
from experiments.jobs.leakage.measure import Leakage
from experiments.jobs.leakage.observing import WHOLE
from experiments.jobs.leakage.plan import Plan
from experiments.report import figures
from experiments.report.figures import LayerPanel, PictureRow, ScatterPanel, SubspacePanel
from experiments.report.formats import number, percent, plain
from experiments.report.page import VERDICTS, Picture, Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate
from gujax.statistics import Interval

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


def report(plan: Plan, measured: Leakage, results: Results) -> Report:
    """Tables, figures and their page; reconstructions are those of the first seed."""
    return Report(
        __file__,
        tables=_tables(plan, results),
        figures={
            **{_figure(sweep): _profiles(plan, results, sweep) for sweep in plan.sweeps},
            "subspaces": _subspaces(results),
            "agreement": _scatter(plan, results),
            "correlations": _correlations(plan, results),
            **(_reconstructions(plan, measured) if plan.space.is_image else {}),
        },
        terminal=("claims", "reference"),
        claims_note=_RULE,
        words={"plan": plan, "options": plan.options},
    )


def _tables(plan: Plan, results: Results) -> dict[str, Table]:
    epoch = plan.options.reference_epoch
    reference, layer = results.where(sweep="epoch", level=epoch), KeyColumn("layer", "layer")
    shown = measures.shown(plan.space.is_image)
    return {
        "reference": tabulate(
            f"What the gradient of one example leaks, at epoch {epoch}",
            reference,
            [layer, *(Column(measure.heading, measure.column, number(2)) for measure in shown)],
            "Predictors of V-information: linear plus one hidden layer of 16. Sensitivity: "
            "relative change of the gradient per relative change of the input, median over "
            "examples. AUC: 0.5 is guessing. Subspace distance: over √k, minus that of shuffled "
            "sets, mean over k.",
        ),
        "inference": _inference(
            plan,
            results,
            plan.sweeps[:1],
            "Attribute inference, and the same "
            "with the attribute shuffled: the gradient of one example",
        ),
        "inference_varied": _inference(
            plan,
            results,
            plan.sweeps[1:],
            "Attribute inference, and "
            "the same with the attribute shuffled: batches, dropout, noise",
        ),
        "families": tabulate(
            f"V-information in nats by family of predictors, at epoch {epoch}",
            reference,
            [layer, *(Column(_NAMES[name], name, number(3)) for name in CONTROLLED)],
            f"About the first {plan.options.input_components} principal components of the input, "
            "summed, under Gaussian predictive distributions; about the attribute at most its "
            "entropy.",
        ),
        "controls": tabulate(
            "Control: V-information with the target shuffled (nats)",
            results,
            [
                KeyColumn("", "predicted", _NAMES.__getitem__),
                Column("mean", "control_mean", plain("+.4f")),
                Column("largest, absolute", "control_largest", plain(".4f")),
                Column("intervals that cover 0 (%)", "control_covers_zero", plain(".1f", 100)),
                Column("estimates", "control_estimates", plain(".0f")),
            ],
            "Over all layers, conditions and seeds. It must come out at 0.",
        ),
        "correlations": tabulate(
            "Spearman's rank correlation",
            results,
            [
                KeyColumn("measures", "pair", lambda pair: " – ".join(_pair(plan, pair))),
                KeyColumn("over", "over"),
                Column("points per seed", "points", plain(".0f")),
                Column("correlation", "spearman", number(2)),
            ],
            "Mean over seeds ± 95 % t-interval. – where a measure is constant.",
        ),
        "networks": tabulate(
            "Networks whose gradients were looked at",
            results,
            [
                KeyColumn("epochs of training", "epoch"),
                KeyColumn("dropout", "dropout", "{:g}".format),
                Column("test accuracy (%)", "test_accuracy", percent()),
            ],
        ),
    }


def _inference(plan: Plan, results: Results, sweeps: Sequence[Sweep], title: str) -> Table:
    """Success of attribute inference beside its control, at every level of some sweeps."""
    rows = []
    columns = [
        Column("AUC", "auc", number(2)),
        Column("AUC, shuffled", "auc_control", number(2)),
        Column("right guesses (%)", "attack_accuracy", percent()),
        Column("shuffled (%)", "attack_accuracy_control", percent()),
        Column("most frequent value (%)", "majority", percent()),
    ]
    for sweep in sweeps:
        title_of = "" if sweep.name == "epoch" else f"{sweep.title}: "
        for level, label in zip(sweep.levels, sweep.labels):
            here = results.where(sweep=sweep.name, level=level)
            for layer in (*plan.layers, WHOLE):
                of_layer = here.where(layer=layer)
                cells = [column.cell(of_layer) for column in columns]
                rows.append([f"{title_of}{label}", layer, *cells])
    headings = ["gradient", "layer", *(column.heading for column in columns)]
    note = (
        f"The attacker wants to know {plan.attribute.question}. Guessing has AUC 0.5; of more than "
        "two values, the AUC is the mean over each against the others. Mean over seeds ± 95 % "
        "t-interval."
    )
    return Table(title, headings, rows, note)


def _profiles(plan: Plan, results: Results, sweep: Sweep) -> Picture:
    """Measures over the layers, a line for each level."""
    is_training = sweep.name == "epoch"
    panels = []
    for measure in measures.shown(plan.space.is_image) if is_training else measures.SWEPT:
        lines = {}
        for level, label in zip(sweep.levels, sweep.labels):
            here = results.where(sweep=sweep.name, level=level)
            values = [here.get(measure.column, layer=layer).interval for layer in plan.layers]
            if not all(np.isnan(value.mean) for value in values):
                lines[label] = values
        panels.append(
            LayerPanel(measure.heading, lines, measure.nothing, measure.log_scale, measure.limits)
        )
    names = [_short(name) for name in plan.layers]
    columns = 3 if is_training else 4
    return Picture(
        figures.layer_profiles(panels, names, len(plan.fully_connected), columns),
        f"{len(panels)} measures of leakage by layer, a line for each level of {sweep.title}",
    )


def _subspaces(results: Results) -> Picture:
    panels = []
    for (layer,), found in results.groups("layer"):
        distance, control = (
            [of_k.get(f"subspace_{name}").interval for _, of_k in found.groups("k")]
            for name in ("distance", "control")
        )
        panels.append(SubspacePanel(_short(layer), found.values("k"), distance, control))
    return Picture(
        figures.subspace_distances(panels),
        "Subspace distance over the dimension, with its control, for every layer",
    )


def _scatter(plan: Plan, results: Results) -> Picture:
    def points(x: str, y: str, sweep: str, levels: Sequence[float]) -> list[list[float]]:
        places = [(level, layer) for level in levels for layer in plan.layers]
        return [
            [results.get(name, sweep=sweep, level=a, layer=b).mean for a, b in places]
            for name in (x, y)
        ]

    swept = {
        sweep.title: points("attribute_mlp", "auc", sweep.name, sweep.own_levels)
        for sweep in plan.sweeps
    }
    attack, recovered = measures.ATTACK.label, measures.recovery(plan.space.is_image).label
    panels = [ScatterPanel("V-information about the attribute (nats)", attack, swept)]
    for column, label, log_x in (
        ("sensitivity", "input sensitivity (relative)", True),
        ("input_mlp", "V-information about the input (nats)", False),
    ):
        inverted = {
            f"epoch {epoch}": points(column, "recovered", "epoch", [epoch])
            for epoch in plan.sweeps[0].levels
            if epoch in plan.options.recovery_epochs
        }
        panels.append(ScatterPanel(label, recovered, inverted, log_x))
    return Picture(
        figures.layer_scatter(panels),
        "V-information against attack success, and sensitivity against inversion",
    )


def _correlations(plan: Plan, results: Results) -> Picture:
    panels: dict[str, dict[str, dict[str, Interval]]] = {}
    for (over, pair), found in results.groups("over", "pair"):
        kind, _, where = over.partition(", ")
        conditions = panels.setdefault(f"over {kind}", {}).setdefault(
            " –\n".join(_pair(plan, pair)), {}
        )
        conditions[where] = found.get("spearman").interval
    return Picture(
        figures.correlation_intervals(panels),
        "Rank correlations between measures, over layers and over examples",
    )


def _reconstructions(plan: Plan, measured: Leakage) -> dict[str, Picture]:
    """What inversion recovers from every layer, a picture for each epoch."""
    found = {}
    for epoch in plan.options.recovery_epochs:
        grid = [PictureRow("truth", measured.truth[:_PICTURES])]
        for layer in (*plan.layers, WHOLE):
            quality, inputs = measured.recovered[epoch, layer]
            ssim, success = (quality[name].to_numpy()[:_PICTURES] for name in ("ssim", "success"))
            grid.append(PictureRow(_short(layer), inputs[:_PICTURES], ssim, success))
        found[f"inversion_epoch_{epoch}"] = Picture(
            figures.reconstruction_grid(grid),
            f"Images reconstructed from the gradient of each layer alone, at epoch {epoch}",
        )
    return found


def _figure(sweep: Sweep) -> str:
    """The name of a sweep's figure."""
    return "training_progress" if sweep.name == "epoch" else sweep.name.replace(",", "_")


def _pair(plan: Plan, pair: str) -> list[str]:
    """The names of two measures."""
    names = _NAMES | ({"recovered": "SSIM of inversion"} if plan.space.is_image else {})
    return [names[column] for column in pair.split(",")]


def _short(layer: str) -> str:
    """The name of a layer, without what makes it long."""
    return layer.replace("convolutions/", "conv ").replace("/", " ")


_RULE = (
    "Rules, fixed before the run. First two claims: largest value over the layers of one part of "
    "the network minus largest over the other, mean over epochs. Others: mean over layers at the "
    "first level minus that at the last; attribute inference: mean AUC over the first half of the "
    "layers minus that with the attribute shuffled. Differences of decimal logarithms for the "
    "sensitivity. "
    "The sensitivity under noise is that of the noiseless gradient over the norm with noise: it "
    f"falls by construction. {VERDICTS}"
)
