"""What the job shows: tables, curves and pictures; their words are in `report.html.jinja`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from experiments.framework.results import Results
from experiments.inversion import attacks, showing
from experiments.inversion.analysis import strongest
from experiments.inversion.claims import RULE, SAFE
from experiments.jobs.precode.claims import LOSS_LIMIT
from experiments.jobs.precode.measure import BOUNDS, Network, Plan
from experiments.report import figures
from experiments.report.formats import UNKNOWN, percent, plain
from experiments.report.page import Picture, Report
from experiments.report.tables import Column, KeyColumn, Table, tabulate

_ROWS = (KeyColumn("network", "network"), showing.DEFENSE)


def report(plan: Plan, networks: Sequence[Network], results: Results) -> Report:
    """Tables, figures and their page."""
    pictures = {
        f"pictures-{index}": network
        for index, network in enumerate(networks, start=1)
        if network.plan.space.is_image
    }
    return Report(
        __file__,
        tables=_tables(plan, results),
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
        claims_note=RULE,
        words={
            "options": plan.options,
            "plans": list(plan.networks.values()),
            "reading": {network.name: _reading(network, results) for network in networks},
            "shown": {name: network.name for name, network in pictures.items()},
            "safe": SAFE,
            "loss_limit": LOSS_LIMIT,
        },
    )


def _tables(plan: Plan, results: Results) -> dict[str, Table]:
    rates = plan.options.learning_rates
    measured = {entry.measure for entry in results.entries}
    qualities = [name for name in ("ssim", "psnr", "feature_error") if name in measured]
    return {
        "success": _success_table(results),
        **{name: showing.by_attack(results, name, rows=_ROWS) for name in qualities},
        "accuracy": tabulate(
            "Test accuracy (percent)",
            results,
            [
                *_ROWS,
                Column("test accuracy", "test_accuracy", percent()),
                Column("difference (points)", "accuracy_difference", percent(2)),
                Column("learning rate", "learning_rate", plain("g")),
            ],
        ),
        "search": tabulate(
            "Accuracy on held-out examples, by learning rate (percent)",
            results,
            [
                *_ROWS,
                *(
                    Column(f"{r:g}", "validation_accuracy", plain(".1f", 100), {"learning_rate": r})
                    for r in rates
                ),
            ],
            "Means over seeds.",
        ),
    }


def _success_table(results: Results) -> Table:
    """Success rates: every attacker side by side, and which of them is the strongest."""
    names = *attacks.compared(), *BOUNDS
    headings = {name: attacks.label(name) for name in names} | {"ig": "not adaptive"}
    columns = [Column(h, "success", percent(), {"attack": name}) for name, h in headings.items()]
    table = tabulate("Examples reconstructed (percent)", results, [*_ROWS, *columns])
    best = {row: strongest(under) for row, under in results.groups("network", "defense")}
    rows = [
        [*row, attacks.label(name) if (name := best[row[0], row[1]]) else UNKNOWN]
        for row in table.rows
    ]
    return replace(table, columns=[*table.columns, "strongest"], rows=rows)


def _reading(network: Network, results: Results) -> list[dict[str, Any]]:
    """For every defense of a network: what the strongest attack reached, and the accuracy lost."""
    rows: list[dict[str, Any]] = []
    for label in network.plan.families:
        under = results.where(network=network.name, defense=label)
        if (best := strongest(under)) is not None:
            reached = under.get("success", attack=best)
            rows.append(
                {
                    "label": label,
                    "holds": reached.mean <= SAFE,
                    "attack": attacks.label(best),
                    "reached": percent()(reached),
                    "naive": percent()(under.get("success", attack="ig")) if best != "ig" else "",
                    "change": under.find("accuracy_difference"),
                }
            )
    return rows


def _figures(plan: Plan, results: Results) -> dict[str, Picture]:
    labels = list(plan.families)
    by_network = {name: found for (name,), found in results.groups("network")}
    panels = [
        figures.BarPanel(name, "examples reconstructed", showing.success_bars(found, labels), True)
        for name, found in by_network.items()
    ]
    epochs = range(1, plan.options.epochs + 1)

    def lines(found: Results, measure: str, interval: str) -> list[figures.Series]:
        curves = {
            label: [found.get(measure, defense=label, epoch=epoch) for epoch in epochs]
            for label in found.values("defense")
        }
        return [
            figures.Series(label, epochs, [getattr(point, interval) for point in curve])
            for label, curve in curves.items()
        ]

    curves = [
        [lines(found, measure, interval) for found in by_network.values()]
        for measure, interval in (("test_accuracy", "share"), ("loss", "interval"))
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
