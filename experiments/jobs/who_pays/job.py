"""Job `who_pays`: which groups pay for privacy, in accuracy and in exposure?

What is tested, and by which rule, is fixed in `experiments.jobs.who_pays.claims`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from experiments.framework import checks
from experiments.framework.claim import write_claims
from experiments.framework.errors import check_option
from experiments.framework.job import run_directory
from experiments.framework.progress import progress
from experiments.jobs.who_pays import report
from experiments.jobs.who_pays.analysis import IMBALANCED, WHOLE, summarize
from experiments.jobs.who_pays.claims import claims
from experiments.jobs.who_pays.groups import groups_of, made_rare
from experiments.membership import frames, runs
from experiments.membership.defenses import Defense
from experiments.report.tables import to_terminal
from experiments.tasks.recipe import load_recipes
from experiments.tasks.task import ModelName, load_task
from gujax.data import GroupBy

Mechanism = Literal["gate", "censor", "dp_sgd"]


@dataclass(frozen=True)
class Options:
    """Who pays for privacy: accuracy and exposure by class or subgroup, where some are rare.

    Plain SGD, gate, censoring and DP-SGD train the data set as it is, and a variant in which chosen
    groups have few training examples; the test split stays as it is. LiRA attacks every model.

    Attributes:
        dataset: "digits" and "breast_cancer" are embedded; any other name is loaded with
            tensorflow_datasets from TFDS_DATA_DIR.
        model: Architecture.
        hidden: Widths of the MLP's hidden layers.
        group_by: What makes a group: "class", the label to predict, or "subgroup", the second label
            of data sets that have one.
        rare: Labels of the groups that become rare.
        keep: Share of their training examples that is kept.
        defenses: What to run beside plain SGD, which all are compared with.
        seeds: Independent repeats; intervals are over them.
        shadow_models: Models per defense, seed and variant (even): each is attacked with the
            others.
        epochs: Passes over the data, for every defense; default: those of the recipes.
        train_size: Keep only so many training examples, before groups become rare; default: all.
        gate_quantile: The gate drops examples above this quantile of a batch's uniqueness.
        censor_fraction: Share of each model's members that censoring removes.
        epsilon: ε of DP-SGD.
        delta: δ of DP-SGD.
        relative_ridge: Ridge of the uniqueness over the mean squared gradient norm of the batch:
            the noise that the attacker of the bound is assumed to face. DP-SGD uses its own noise.
        recipes: Hyperparameters written by the `tune` job; default: those that come along.
        out: Run directory; default: runs/who_pays-<time>.
        overwrite: Replace a completed run in the run directory.
    """

    dataset: str = "digits"
    model: ModelName = "mlp"
    hidden: tuple[int, ...] = (128,)
    group_by: GroupBy = "class"
    rare: tuple[int, ...] = (8, 9)
    keep: float = 0.1
    defenses: tuple[Mechanism, ...] = ("gate", "censor", "dp_sgd")
    seeds: int = 5
    shadow_models: int = 16
    epochs: int | None = None
    train_size: int | None = None
    gate_quantile: float = 0.9
    censor_fraction: float = 0.1
    epsilon: float = 8.0
    delta: float = 1e-5
    relative_ridge: float = 0.1
    recipes: Path | None = None
    out: Path | None = None
    overwrite: bool = False


def run(options: Options) -> int:
    """Runs the study; returns the exit code."""
    _check(options)
    console = Console()
    task = load_task(options.dataset, options.model, options.hidden, options.train_size)
    book = load_recipes(options.dataset, options.recipes)
    groups = groups_of(task, options.rare, options.group_by)
    variants = {
        WHOLE: (task, groups),
        IMBALANCED: made_rare(task, groups, options.keep, options.group_by),
    }
    with run_directory("who_pays", options) as directory:
        defenses = _defenses(options)
        settings = runs.Settings(
            options.seeds,
            options.shadow_models,
            options.epochs,
            options.relative_ridge,
            measured=("sgd", "gate"),
        )
        results = {}
        with progress(console, len(variants) * len(defenses) * options.seeds + 1) as steps:
            for name, (of_variant, in_groups) in variants.items():
                trained = runs.train_all(of_variant, defenses, book, settings, steps)
                results[name] = (in_groups, trained)
            with steps.step("tables and figures"):
                for name, (of_variant, _) in variants.items():
                    folder = name.replace(" ", "_")
                    frames.write(directory, of_variant, results[name][1], folder)
                summary = summarize(results)
                directory.write_json("summary.json", summary)
                found = claims(summary)
                write_claims(directory, found)
                tables = report.write(directory, options, task, book, summary, found)
    for table in tables:
        console.print(to_terminal(table))
    console.print(f"report: {directory.path / 'report.html'}", soft_wrap=True)
    return 0


def _defenses(options: Options) -> list[Defense]:
    mechanisms = {
        "gate": (f"gate q={options.gate_quantile:g}", options.gate_quantile),
        "censor": (f"censor {100 * options.censor_fraction:g} %", options.censor_fraction),
        "dp_sgd": (f"DP-SGD ε={options.epsilon:g}", options.epsilon),
    }
    chosen = dict.fromkeys(options.defenses)
    return [Defense("SGD", "sgd")] + [
        Defense(label, family, strength, options.delta)
        for family in chosen
        for label, strength in [mechanisms[family]]
    ]


def _check(options: Options) -> None:
    check_option(len(options.rare) > 0, "--rare is empty; name at least one group")
    checks.at_least_one(options, "seeds", "epochs")
    checks.shadow_models(options)
    checks.fractions(options, "keep", "gate_quantile", "censor_fraction", "delta")
    checks.positive(options, "epsilon", "relative_ridge")
