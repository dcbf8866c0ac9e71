"""The release card: what a trained model may have disclosed, and whether a policy allows it."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from experiments.framework.results import Results
from experiments.jobs.audit.analysis import findings
from experiments.jobs.audit.attackers import attack_tables, attackers, judgement, summary
from experiments.jobs.audit.measure import Audited, Plan
from experiments.membership import release
from experiments.membership.assumptions import assumed_of_updates
from experiments.membership.policy import MEASURES, Finding, decide
from experiments.report import figures
from experiments.report.card import Card
from experiments.report.formats import plain
from experiments.report.page import Picture
from experiments.report.tables import Column, KeyColumn, Table, tabulate

_ATTACKERS = (
    "Sees the published model: LiRA with as many shadow models as it takes, by someone who knows "
    "how the model was trained. Its success is predicted from the model's gradients and the gap "
    "between training and held-out examples, and not measured; intervals do not hold the error of "
    "this method. Several published models, and groups of examples, are not covered.",
    "Sees every update: knows all other examples too, and decides whether one given example took "
    "part.",
)


def report(plan: Plan, audited: Audited, results: Results) -> Card:
    """Tables, figures, verdict and their page."""
    found = findings(plan, results)
    decision, kind = decide(found)
    ridge, every = plan.options.relative_ridge, plan.options.audit_every
    assumed = [*_ATTACKERS, *assumed_of_updates(ridge, every, audited.privacy, "example")]
    return Card(
        __file__,
        tables={
            **attack_tables(plan, audited, results),
            "spread": _spread_table(results),
            "classes": _class_table(results),
            "cost": _cost_table(results, every),
        },
        figures=_figures(audited, results, found),
        terminal=("attackers", "spread", "classes", "cost"),
        remarks=list(map(str, found)),
        file="card.html",
        name="release card",
        words={
            "task": plan.task,
            "defense": plan.options.trained_under,
            "num_epochs": len(audited.epochs),
            "accuracy": results.get("test_accuracy").mean,
            "decision": decision,
            "kind": kind,
            "findings": found,
            "published": audited.published,
            "judgement": judgement(audited.published),
            "attackers": attackers(results),
            "extremes": audited.extremes,
            "assumptions": assumed,
        },
        content={
            "verdict": decision,
            "policy": release.policy_content(found),
            "measures": {name: results.get(name).mean for name in MEASURES},
            "test_accuracy": results.get("test_accuracy").mean,
            "published_model": summary(audited.published),
            "privacy": None if audited.privacy is None else asdict(audited.privacy),
            "quantiles": {
                str(quantile): row.get("nats").mean
                for (quantile,), row in results.groups("quantile")
            },
            "assumptions": assumed,
            "cost": {name: asdict(step) for name, step in audited.cost.items()},
        },
    )


def _spread_table(results: Results) -> Table:
    return tabulate(
        "Totals over the run, quantiles over training examples",
        results,
        [
            *release.SPREAD,
            Column("predicted TPR at 1 % FPR (%)", "predicted_tpr_1pct", plain(".2f", 100)),
        ],
        "Nats are the sum of ½ log(1 + GNQ) over steps; the membership bit holds at most "
        "log 2 = 0.693 nats, which a larger sum means may all be known. μ is composed as the root "
        "of the sum of squares. The predicted attack sees every update.",
    )


def _class_table(results: Results) -> Table:
    return tabulate(
        "Totals by class",
        results,
        [
            KeyColumn("class", "label"),
            Column("examples", "examples", plain(".0f")),
            Column("nats, median", "median_nats", plain(".4g")),
            Column("nats, largest", "max_nats", plain(".4g")),
            Column("μ, median", "median_mu", plain(".4g")),
            Column("μ, largest", "max_mu", plain(".4g")),
        ],
    )


def _cost_table(results: Results, audit_every: int) -> Table:
    share = results.get("run_over_plain").mean
    return tabulate(
        "Cost of one training step",
        results,
        [
            KeyColumn("step", "step"),
            Column("time (ms)", "milliseconds", plain(".3g")),
            Column("relative", "relative", plain(".2f", suffix="×")),
            Column("memory (MiB)", "memory", plain(".2f")),
        ],
        f"Measured interleaved on this machine. Auditing every {audit_every} steps, the run costs "
        f"about {share:.2f}× a plain one."
        if audit_every > 1
        else "Measured interleaved on this machine; every step was audited.",
    )


def _figures(audited: Audited, results: Results, found: Sequence[Finding]) -> dict[str, Picture]:
    curve = partial(release.epoch_curve, results)
    curves = figures.training_curves(
        results.values("epoch"),
        [
            ("loss (nats)", [("loss", curve("loss"))]),
            ("accuracy (%)", [(n, curve(f"{n}_accuracy", 100)) for n in ("train", "test")]),
            release.nats_panel(results),
        ],
    )
    return {
        "distribution": release.nats_histogram(
            audited.totals, found, "example", "Nats over the training examples"
        ),
        "curves": Picture(curves, "Loss, accuracy and nats by epoch"),
    }
