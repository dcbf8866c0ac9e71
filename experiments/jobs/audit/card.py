"""The release card: what a trained model may have disclosed, and whether a policy allows it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.image
import numpy as np
import polars as pl
from jaxtyping import Float

from experiments.framework.run_directory import RunDirectory
from experiments.jobs.audit.policy import Finding
from experiments.membership.cost import StepCost
from experiments.membership.defenses import Defense, Privacy
from experiments.report import figures, html, style
from experiments.report.tables import Table
from experiments.tasks.task import Task
from gujax.uniqueness import Ledger, predicted_auc, predicted_tpr

if TYPE_CHECKING:
    from experiments.jobs.audit.job import Options

MEASURES = (
    "max_nats",
    "p99_nats",
    "mean_nats",
    "max_mu",
    "predicted_auc",
    "predicted_tpr_1pct",
    "predicted_tpr_01pct",
)
_PICTURES = 8
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


def totals(task: Task, ledger: Ledger, every: int) -> pl.DataFrame:
    """One row per training example: nats and μ over the run.

    Args:
        task: Data and model.
        ledger: What the audited steps disclosed.
        every: Steps from one audit to the next; totals are scaled up by it.
    """
    train = task.dataset.train
    return pl.DataFrame(
        {
            "id": train.ids,
            "label": train.y,
            "subgroup": pl.Series(
                [None] * len(train) if train.subgroups is None else train.subgroups, dtype=pl.Int32
            ),
            "nats": every * np.asarray(ledger.nats, float),
            "mu": np.sqrt(every * np.asarray(ledger.mu_squared, float)),
            "audited_steps": np.asarray(ledger.steps),
        }
    )


def measure(totals: pl.DataFrame) -> dict[str, float]:
    """What a policy may limit; the predicted attack is that on the most exposed example."""
    nats, mu = totals["nats"].to_numpy(), totals["mu"].to_numpy()
    worst = float(mu.max())
    values = (
        nats.max(),
        np.quantile(nats, 0.99),
        nats.mean(),
        worst,
        predicted_auc(worst),
        predicted_tpr(worst, 0.01),
        predicted_tpr(worst, 0.001),
    )
    return {name: float(value) for name, value in zip(MEASURES, values, strict=True)}


def describe(finding: Finding) -> str:
    """A finding in words."""
    outcome = "holds" if finding.holds else "is VIOLATED"
    rule = finding.rule
    return f"Policy {rule.name} ≤ {rule.limit:g} {outcome}: measured {finding.value:.4g}."


def write(
    directory: RunDirectory,
    options: "Options",
    task: Task,
    defense: Defense,
    privacy: Privacy | None,
    totals: pl.DataFrame,
    history: pl.DataFrame,
    findings: Sequence[Finding],
    cost: Mapping[str, StepCost],
) -> list[Table]:
    """Writes `card.json`, `card.html` and figures; returns the tables for the terminal."""
    measured = measure(totals)
    tables = [_spread_table(totals), _class_table(task, totals), _cost_table(cost, options)]
    assumptions = _assumptions(options, privacy)
    directory.write_json(
        "card.json",
        {
            "verdict": _verdict(findings)[0],
            "policy": [
                {**asdict(finding.rule), "measured": finding.value, "holds": finding.holds}
                for finding in findings
            ],
            "measures": measured,
            "test_accuracy": history["test_accuracy"][-1],
            "privacy": None if privacy is None else asdict(privacy),
            "quantiles": dict(zip(map(str, _QUANTILES), _quantiles(totals, "nats"), strict=True)),
            "assumptions": assumptions,
            "cost": {name: asdict(step) for name, step in cost.items()},
        },
    )
    epochs = history["epoch"].to_list()
    accuracy = [(n, (100 * history[f"{n}_accuracy"]).to_list()) for n in ("train", "test")]
    nats = [(name, history[name].to_list()) for name in ("max_nats", "p99_nats", "median_nats")]
    curves = figures.training_curves(
        epochs,
        [
            ("loss (nats)", [("loss", history["loss"].to_list())]),
            ("accuracy (%)", accuracy),
            ("nats disclosed so far", [(name.replace("_", " "), of) for name, of in nats]),
        ],
    )
    limit = next((f.rule.limit for f in findings if f.rule.name == "max_nats"), None)
    spread = figures.histogram(
        totals["nats"].to_numpy(), "nats disclosed over the run, bound per example", limit
    )
    text, kind = _verdict(findings)
    sections = [
        html.section(
            "Verdict",
            html.verdict(text, kind),
            html.bullets([describe(finding) for finding in findings]) if findings else "",
        ),
        html.section("What was disclosed", html.table(tables[0]), html.table(tables[1])),
        html.section(
            "How it came about",
            _inline(directory, "distribution", spread, "Nats over the training examples"),
            _inline(directory, "curves", curves, "Loss, accuracy and nats by epoch"),
        ),
        *_extremes(directory, task, totals),
        html.section("What these numbers assume, and do not promise", html.bullets(assumptions)),
        html.section("What monitoring cost", html.table(tables[2])),
    ]
    lead = (
        f"{task.model_name} trained on all {len(totals)} examples of {task.dataset.name} "
        f"({defense.label}), {len(history)} epochs; test accuracy "
        f"{100 * history['test_accuracy'][-1]:.1f} %."
    )
    page = html.page(f"Release card: {task.dataset.name}, {defense.label}", lead, sections)
    directory.file("card.html").write_text(page)
    return tables


def _verdict(findings: Sequence[Finding]) -> tuple[str, str]:
    if not findings:
        return "No policy was given: this card reports, and does not decide.", "neutral"
    violated = [finding.rule.name for finding in findings if not finding.holds]
    if violated:
        return f"Do not release: the policy is violated ({', '.join(violated)}).", "bad"
    return "The policy holds: the model may be released under the assumptions below.", "good"


def _spread_table(totals: pl.DataFrame) -> Table:
    auc = predicted_auc(np.array(_quantiles(totals, "mu")))
    tpr = predicted_tpr(np.array(_quantiles(totals, "mu")), 0.01)
    rows = [
        [
            "smallest" if q == 0 else "largest" if q == 1 else f"{100 * q:g} %",
            f"{nats:.4g}",
            f"{mu:.4g}",
            f"{float(a):.4f}",
            f"{100 * float(t):.2f}",
        ]
        for q, nats, mu, a, t in zip(
            _QUANTILES, _quantiles(totals, "nats"), _quantiles(totals, "mu"), auc, tpr, strict=True
        )
    ]
    return Table(
        "Totals over the run, quantiles over training examples",
        ("quantile", "nats", "μ", "predicted attack AUC", "predicted TPR at 1 % FPR (%)"),
        rows,
        "Nats are the sum of ½ log(1 + GNQ) over steps; the membership bit holds at most "
        "log 2 = 0.693 nats, which a larger sum means may all be known. μ is composed as the root "
        "of the sum of squares. The predicted attack sees every update.",
    )


def _class_table(task: Task, totals: pl.DataFrame) -> Table:
    rows = []
    for label, name in enumerate(task.class_names):
        of_class = totals.filter(pl.col("label") == label)
        if len(of_class):
            nats, mu = of_class["nats"].to_numpy(), of_class["mu"].to_numpy()
            rows.append(
                [
                    name,
                    str(len(of_class)),
                    f"{np.median(nats):.4g}",
                    f"{nats.max():.4g}",
                    f"{np.median(mu):.4g}",
                    f"{mu.max():.4g}",
                ]
            )
    columns = ("class", "examples", "nats, median", "nats, largest", "μ, median", "μ, largest")
    return Table("Totals by class", columns, rows)


def _cost_table(cost: Mapping[str, StepCost], options: "Options") -> Table:
    rows = [
        [
            name,
            f"{step.milliseconds:.3g}",
            f"{step.relative:.2f}×",
            "–" if step.memory_mib is None else f"{step.memory_mib:.2f}",
        ]
        for name, step in cost.items()
    ]
    share = 1 + (cost["audited"].relative - 1) / options.audit_every
    return Table(
        "Cost of one training step",
        ("step", "time (ms)", "relative", "memory (MiB)"),
        rows,
        f"Measured interleaved on this machine. Auditing every {options.audit_every} steps, the "
        f"run costs about {share:.2f}× a plain one."
        if options.audit_every > 1
        else "Measured interleaved on this machine; every step was audited.",
    )


def _assumptions(options: "Options", privacy: Privacy | None) -> list[str]:
    ridge = (
        f"Ridge {options.relative_ridge:g} of the batch's mean squared gradient norm: the attacker "
        "is assumed to face noise of that variance (times p(1-p)). Less noise means more nats; "
        "without any, one full-precision update identifies its examples."
        if privacy is None
        else "The ridge is that of DP-SGD's own noise "
        f"(noise multiplier {privacy.noise_multiplier:.3f}, clip {privacy.l2_norm_clip:g}): no "
        "noise had to be assumed."
    )
    lines = [
        "Threat: someone who sees every update, and knows all other examples, decides whether one "
        "given example took part. Who sees only the final model learns less.",
        ridge,
        "Gaussian approximation: the sum of the other examples' gradients is taken to be Gaussian. "
        "It is checked by simulation, not proven for this model.",
        "Inclusion probability p = 1/2, the attacker's prior. An example is charged in the steps "
        "in which it took part.",
        "What a data-dependent defense discloses by its choices, and what tuning on the same data "
        "discloses, is not counted.",
    ]
    if privacy is not None:
        lines.append(
            f"DP-SGD guarantees (ε = {privacy.epsilon:.3f}, δ = {privacy.delta:g}) for adding or "
            f"removing one example: Poisson sampling with rate {privacy.sampling_rate:.4f}, "
            f"{privacy.steps} steps. This holds for every attacker; the numbers above do not."
        )
    if options.audit_every > 1:
        lines.append(
            f"Only every {options.audit_every}th step was audited: nats and μ² were scaled by "
            f"{options.audit_every}. They are estimates, not bounds; an example that happened to "
            "take part between audits only shows zero."
        )
    return lines


def _extremes(directory: RunDirectory, task: Task, totals: pl.DataFrame) -> list[str]:
    """Pictures of the most and the least unique examples, where examples are pictures."""
    shape = task.dataset.feature_shape
    if len(shape) != 3 or shape[-1] not in (1, 3):
        return []
    ranked = totals.sort("nats", "mu", descending=True)  # nats have a ceiling at every step
    groups = (("Most", ranked.head(_PICTURES)), ("Least", ranked.tail(_PICTURES).reverse()))
    return [
        html.section(
            f"{which} unique training examples",
            html.gallery([_picture(directory, task, row) for row in chosen.to_dicts()]),
        )
        for which, chosen in groups
    ]


def _picture(directory: RunDirectory, task: Task, row: Mapping) -> tuple[Path, str]:
    pixels = task.dataset.train.x[row["id"]]
    enlarge = max(1, 112 // len(pixels))
    large = np.kron(pixels, np.ones((enlarge, enlarge, 1), np.float32)).clip(0, 1)
    path = directory.file(f"pictures/{row['id']}.png")
    matplotlib.image.imsave(path, np.broadcast_to(large, (*large.shape[:2], 3)))
    return path, f"{task.class_names[row['label']]} · id {row['id']} · {row['nats']:.3g} nats"


def _inline(directory: RunDirectory, name: str, figure, caption: str) -> str:
    path = style.save(figure, directory.file(f"figures/{name}"))
    return html.figure(path, caption, caption)


def _quantiles(totals: pl.DataFrame, column: str) -> list[float]:
    values: Float[np.ndarray, " examples"] = totals[column].to_numpy()
    return np.quantile(values, _QUANTILES).tolist()
