"""The numbers of the report, from the tables of a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from itertools import product

import numpy as np
import polars as pl
from jaxtyping import Float

from experiments.framework.results import Entry, Key, Results, entry
from experiments.inversion.analysis import spearman
from experiments.jobs.leakage.conditions import Condition
from experiments.jobs.leakage.measure import Leakage
from experiments.jobs.leakage.measures import LATENT, SWEPT_ORIGINAL, Measure, original, shown
from experiments.jobs.leakage.observing import WHOLE
from experiments.jobs.leakage.plan import Plan

CONTROLLED = ("attribute_linear", "attribute_mlp", "input_linear", "input_mlp")

# Pairs of measures whose ranks are compared. Over layers and conditions:
_EVERYWHERE = (
    ("attribute_linear", "auc"),
    ("attribute_mlp", "auc"),
    ("sensitivity", "input_mlp"),
)
# Over layers, where gradients were inverted:
_WHERE_INVERTED = (
    ("sensitivity", "recovered"),
    ("input_linear", "recovered"),
    ("input_mlp", "recovered"),
    ("gnq", "recovered"),
    ("gnq", "input_mlp"),
    ("gnq", "attribute_mlp"),
    ("gnq", "auc"),
)
# Over examples, of the whole gradient:
_EXAMPLES = (
    ("pointwise_attribute", "attack_confidence"),
    ("gnq", "pointwise_attribute"),
    ("gnq", "pointwise_input"),
    ("gnq", "sensitivity"),
    ("gnq", "recovered"),
    ("pointwise_input", "recovered"),
    ("sensitivity", "recovered"),
    ("gradient_norm", "recovered"),
)

_CONDITION = [field.name for field in fields(Condition)]


def analyze(plan: Plan, measured: Leakage) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: sweep, level and layer for what layers leak; contrast (and epoch) for differences of these
    that claims are about; predicted for V-information with that target and family and the target
    shuffled; layer and k for subspaces in the reference; pair, and over what, for rank
    correlations; dropout and epoch for networks.
    """
    tables = measured.tables
    layers, examples = _joined(tables), tables["examples"].filter(pl.col("layer") == WHOLE)
    leaked = Results(_leaked(plan, layers))
    yield from leaked.entries
    yield from _leads(plan, leaked)
    yield from _falls(plan, leaked)
    yield from _inferred(plan, leaked)
    yield from _controls(layers)
    yield from _subspaces(plan, tables["subspaces"])
    points = layers.filter(pl.col("layer") != WHOLE)
    for pair in _EVERYWHERE:
        yield from _correlation(pair, "layers, all conditions", points)
    for kind, pairs, table in (
        ("layers", _WHERE_INVERTED, points.filter(_single())),
        ("examples", _EXAMPLES, examples),
    ):
        for pair, epoch in product(pairs, plan.options.recovery_epochs):
            here = table.filter(pl.col("epoch") == epoch)
            yield from _correlation(pair, f"{kind}, epoch {epoch}", here)
    networks = tables["networks"].group_by("dropout", "epoch", maintain_order=True)
    for (rate, epoch), rows in networks:
        yield entry("test_accuracy", rows["test_accuracy"], dropout=rate, epoch=epoch)


def _joined(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The table `layers` with what is measured in the other tables, in order of the seeds."""
    where = ("epoch", "layer", "seed")
    distance = (pl.col("distance") - pl.col("control")).mean().alias("subspace")
    distances = tables["subspaces"].group_by(*_CONDITION, "layer", "seed").agg(distance)
    recovered = tables["examples"].group_by(where).agg(pl.col("recovered").mean())
    return (
        tables["layers"]
        .join(distances, on=[*_CONDITION, "layer", "seed"], how="left")
        .join(recovered, on=where, how="left")
        .with_columns(pl.when(_single()).then("recovered"))
        .sort("seed", maintain_order=True)
    )


def _leaked(plan: Plan, layers: pl.DataFrame) -> Iterator[Entry]:
    """What layers leak; the bootstrap intervals of one seed stay in the table."""
    units = {measure.column: measure.unit for measure in shown(plan.space.is_image)}
    columns = layers.select(pl.exclude("seed", "^.*_(low|high)$"))
    rows = columns.partition_by(*_CONDITION, "layer", as_dict=True, include_key=False)
    for sweep in plan.sweeps:
        for level, condition in zip(sweep.levels, sweep.conditions):
            for layer in (*plan.layers, WHOLE):
                place: dict[str, Key] = {"sweep": sweep.name, "level": level, "layer": layer}
                for values in rows[*astuple(condition), layer]:
                    yield entry(values.name, values, units.get(values.name, ""), **place)


def _leads(plan: Plan, leaked: Results) -> Iterator[Entry]:
    """By how much the most leaking layer of one part of the network exceeds that of the other.

    Of logarithmic measures the decimal logarithm is compared. Means over the epochs.
    """
    half = -(-len(plan.layers) // 2)
    before = tuple(layer for layer in plan.layers if layer not in plan.fully_connected)
    for name, measures, first, second in (
        ("first layers", original(plan.space.is_image), plan.layers[:half], plan.layers[half:]),
        ("fully connected", LATENT, plan.fully_connected, before),
    ):
        if not first or not second:
            continue
        for measure in measures:
            gaps = []
            for level in plan.sweeps[0].levels:
                of_first, of_second = (
                    _on(leaked, measure, part, "epoch", level) for part in (first, second)
                )
                gaps.append(of_first.max(axis=0) - of_second.max(axis=0))
            measured = [gap for gap in gaps if not np.isnan(gap).all()]
            yield _contrast(measure, np.mean(measured, axis=0), name)


def _falls(plan: Plan, leaked: Results) -> Iterator[Entry]:
    """By how much measures are smaller at the last level of a sweep, in the mean over layers."""
    for sweep in plan.sweeps[1:]:
        for measure in (*SWEPT_ORIGINAL, *LATENT):
            first, last = (
                _on(leaked, measure, plan.layers, sweep.name, sweep.levels[end]).mean(axis=0)
                for end in (0, -1)
            )
            yield _contrast(measure, first - last, sweep.name)


def _inferred(plan: Plan, leaked: Results) -> Iterator[Entry]:
    """By how much attribute inference beats its control in the first half of the network."""
    half = plan.layers[: -(-len(plan.layers) // 2)]
    for epoch in plan.sweeps[0].levels:
        of_attack, of_control = (
            [leaked.get(name, sweep="epoch", level=epoch, layer=layer).values for layer in half]
            for name in ("auc", "auc_control")
        )
        gain = np.mean(of_attack, axis=0) - np.mean(of_control, axis=0)
        yield entry("auc", gain, contrast="attribute", epoch=epoch)


def _contrast(measure: Measure, values: Float[np.ndarray, " seeds"], name: str) -> Entry:
    unit = "decades" if measure.log_scale else measure.unit
    return entry(measure.column, values, unit, contrast=name)


def _on(
    leaked: Results, measure: Measure, layers: Sequence[str], sweep: str, level: float
) -> Float[np.ndarray, "layers seeds"]:
    """A measure on some layers, or its decimal logarithm if it is a logarithmic one."""
    values = [
        leaked.get(measure.column, sweep=sweep, level=level, layer=layer).values for layer in layers
    ]
    return np.log10(values) if measure.log_scale else np.stack(values)


def _controls(table: pl.DataFrame) -> Iterator[Entry]:
    """What V-information is with the target shuffled, over all layers, conditions and seeds."""
    for name in CONTROLLED:
        value, low, high = (
            table[f"{name}_control{end}"].to_numpy() for end in ("", "_low", "_high")
        )
        for what, number, unit in (
            ("mean", value.mean(), "nats"),
            ("largest", np.abs(value).max(), "nats"),
            ("covers_zero", np.mean((low <= 0) & (high >= 0)), ""),
            ("estimates", len(value), ""),
        ):
            yield entry(f"control_{what}", number, unit, predicted=name)


def _subspaces(plan: Plan, table: pl.DataFrame) -> Iterator[Entry]:
    """Distance and its control by layer and k, in the reference."""
    here = table.filter(_single(), pl.col("epoch") == plan.options.reference_epoch).sort("k")
    for layer in (*plan.layers, WHOLE):
        of_layer = here.filter(pl.col("layer") == layer)
        for (k,), rows in of_layer.group_by("k", maintain_order=True):
            for name in ("distance", "control"):
                values = np.full(plan.options.seeds, np.nan)
                values[rows["seed"]] = rows[name]  # ranks differ: not every seed has every k
                yield entry(f"subspace_{name}", values, layer=layer, k=k)


def _correlation(pair: tuple[str, str], over: str, table: pl.DataFrame) -> Iterator[Entry]:
    """Spearman's correlation of two columns within each seed, and how many points that were."""
    seeds = table.drop_nulls(pair).partition_by("seed", maintain_order=True)
    keys = {"over": over, "pair": ",".join(pair)}
    yield entry("points", len(seeds[0]), **keys)
    yield entry("spearman", [spearman(*of_seed.select(pair)) for of_seed in seeds], **keys)


def _single() -> pl.Expr:
    """Whether a condition is that of gradients of single examples, to which nothing was done."""
    return (pl.col("batch_size") == 1) & (pl.col("noise") == 0) & (pl.col("dropout") == 0)
