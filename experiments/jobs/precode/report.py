"""What the job shows: tables, curves and pictures; their words are in `report.html.jinja`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.framework.claims import Claim
from experiments.framework.results import Results
from experiments.inversion import attacks, curvature_text, showing
from experiments.inversion.analysis import strongest
from experiments.inversion.claims import SAFE
from experiments.jobs.precode.claims import LOSS_LIMIT
from experiments.jobs.precode.measure import Network, Plan
from experiments.report import figures
from experiments.report.formats import UNKNOWN, percent, plain
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate

_ROWS = (KeyColumn("network", "network"), showing.DEFENSE)


def report(
    plan: Plan, networks: Sequence[Network], results: Results, claims: Sequence[Claim]
) -> Report:
    """Tables, figures and their page."""
    measured = {entry.measure for entry in results.entries}
    pictures = {
        f"pictures-{index}": network
        for index, network in enumerate(networks, start=1)
        if network.plan.space.is_image
    }
    return Report(
        Path(__file__).with_name("report.html.jinja"),
        tables={
            "success": success_table(results),
            **{
                measure: showing.by_attack(results, measure, rows=_ROWS)
                for measure in ("ssim", "psnr", "feature_error")
                if measure in measured
            },
            "accuracy": accuracy_table(results),
            "search": search_table(results, plan.options.learning_rates),
        },
        figures={
            **_figures(plan, results),
            **{
                name: Picture(
                    figures.reconstruction_grid(showing.picture_rows(network.attacked)),
                    f"Examples, and what each attack made of their updates: {network.name}",
                )
                for name, network in pictures.items()
            },
        },
        terminal=("success", "accuracy", "claims"),
        claims=claims,
        claims_note=_RULE,
        words={
            "options": plan.options,
            "plans": list(plan.networks.values()),
            "reading": {network.name: _reading(network, results) for network in networks},
            "shown": {name: network.name for name, network in pictures.items()},
            "safe": SAFE,
            "loss_limit": LOSS_LIMIT,
            "curvature": curvature_text(networks[0].plan.budget.sharpness),
        },
    )


def success_table(results: Results) -> Table:
    """Success rates: one row per network and defense, every attacker side by side."""
    columns = [
        Column(
            "not adaptive" if name == "ig" else attacks.label(name),
            "success",
            percent(),
            {"attack": name},
        )
        for name in attacks.compared()
    ]
    table = tabulate("Examples reconstructed (percent)", results, [*_ROWS, *columns])
    best = {row: strongest(under) for row, under in results.groups("network", "defense")}
    rows = [
        [*row, attacks.label(name) if (name := best[row[0], row[1]]) else UNKNOWN]
        for row in table.rows
    ]
    return replace(table, columns=[*table.columns, "strongest"], rows=rows)


def accuracy_table(results: Results) -> Table:
    """Test accuracy with and without each defense."""
    return tabulate(
        "Test accuracy (percent)",
        results,
        [
            *_ROWS,
            Column("test accuracy", "test_accuracy", percent()),
            Column("difference (points)", "accuracy_difference", percent(2)),
            Column("learning rate", "learning_rate", plain("g")),
        ],
    )


def search_table(results: Results, rates: Sequence[float]) -> Table:
    """What the learning rate was chosen by."""
    columns = [
        Column(f"{rate:g}", "validation_accuracy", plain(".1f", 100), {"learning_rate": rate})
        for rate in rates
    ]
    title = "Accuracy on held-out examples, by learning rate (percent)"
    return tabulate(title, results, [*_ROWS, *columns], "Means over seeds.")


def _reading(network: Network, results: Results) -> list[dict[str, Any]]:
    """For every defense of a network: what the strongest attack reached, and the accuracy lost."""
    rows: list[dict[str, Any]] = []
    for label, family in network.plan.families.items():
        under = results.where(network=network.name, defense=label)
        if (best := strongest(under)) is None:
            continue
        reached, naive = (under.find("success", attack=name) for name in (best, "ig"))
        lost = under.find("accuracy_difference")
        assert reached is not None
        rows.append(
            {
                "label": label,
                "plain": family == "none",
                "holds": reached.mean <= SAFE,
                "attack": attacks.label(best),
                "reached": percent()(reached),
                "naive": percent()(naive) if naive is not None and best != "ig" else "",
                "lost": 0.0 if lost is None else lost.mean,
            }
        )
    return rows


def _figures(plan: Plan, results: Results) -> dict[str, Picture]:
    labels = list(
        dict.fromkeys(label for network in plan.networks.values() for label in network.families)
    )
    by_network = {name: found for (name,), found in results.groups("network")}
    panels = [
        figures.BarPanel(
            name,
            "examples reconstructed",
            showing.success_bars(found, labels),
            in_percent=True,
        )
        for name, found in by_network.items()
    ]
    epochs = range(1, plan.options.epochs + 1)

    def lines(found: Results, measure: str) -> list[figures.Line]:
        curves = {}
        for label in found.values("defense"):
            points = [found.get(measure, defense=label, epoch=epoch) for epoch in epochs]
            is_share = measure == "test_accuracy"
            curves[label] = [point.share if is_share else point.interval for point in points]
        return [figures.Line(label, list(epochs), curve) for label, curve in curves.items()]

    curves = [
        [lines(found, measure) for found in by_network.values()]
        for measure in ("test_accuracy", "loss")
    ]
    names = ("test accuracy", "training loss")
    return {
        "success": Picture(
            figures.bar_panels([panels], labels), "Success of each attack on every defense"
        ),
        "training": Picture(
            figures.facets(curves, names, list(by_network), "epoch", None, True),
            "Test accuracy and training loss by epoch, under every defense",
        ),
    }


_RULE = (
    "A claim's effects, over seeds and networks, are what lies on its side of the limit that it "
    "names, and differences paired by seed. Reproduced if all 95 % t-intervals lie above 0, partly "
    "if some do, contradicted if one lies below 0, not told apart if all include 0."
)
