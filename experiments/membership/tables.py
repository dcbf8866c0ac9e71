"""Tables that reports of several jobs show of their runs."""

from collections.abc import Callable, Sequence

import numpy as np

from experiments.framework.results import Measured, Results
from experiments.membership.analysis import between
from experiments.membership.attacks import ATTACKS
from experiments.membership.runs import DefenseRun
from experiments.report.formats import UNKNOWN, Format, format_range, plain
from experiments.report.tables import Column, KeyColumn, Table, tabulate
from experiments.tasks.recipe import Recipe
from gujax.statistics import Interval


def canaries_table(results: Results, *before: KeyColumn) -> Table:
    """What attacks find of canaries, from `experiments.membership.canaries.canary_entries`.

    Args:
        before: Columns before that of the defense.
    """
    return tabulate(
        "Canaries: the best attack on them alone (percent)",
        results.where(examples="canaries"),
        [
            *before,
            KeyColumn("defense", "defense"),
            Column("TPR@1 %", best_of(), range_of(1)),
            Column("best attack", "best_attack", attack_name),
        ],
        "At 1 % false positives among canaries. Near-duplicates are asked about together.",
    )


def best_of(zero: str = "") -> Callable[[Results], Measured | None]:
    """A number of `best_entries` as one quantity whose values are mean, low and high.

    Args:
        zero: "0" for the true-positive rate at 0.1 % false positives, else at 1 %.
    """

    def measure(row: Results) -> Measured | None:
        name = f"best_tpr_at_{zero}1pct"
        return None if row.find(name) is None else Measured(np.array(between(row, name)))

    return measure


def range_of(digits: int) -> Format:
    """A quantity of `best_of` with the ends of its interval."""
    return lambda measured: format_range(Interval(*measured.values), digits)


def attack_name(measured: Measured) -> str:
    """The attack that `best_attack` is about."""
    return list(ATTACKS.values())[int(measured.mean)]


def privacy_table(results: Results, title: str = "") -> Table:
    """The accounting of DP-SGD, from `experiments.membership.analysis.defense_entries`."""
    return tabulate(
        f"{title}DP-SGD: the guarantee for adding or removing one example",
        results,
        [
            KeyColumn("defense", "defense"),
            Column("ε spent", "epsilon", plain(".3f")),
            Column("δ", "delta", plain("g")),
            Column("sampling rate", "sampling_rate", plain(".4f")),
            Column("steps", "steps", plain(".0f")),
            Column("L2 clip", "l2_norm_clip", plain("g")),
            Column("noise multiplier", "noise_multiplier", plain(".3f")),
            Column("examples cut from batches", "overflow", plain(".0f")),
        ],
        "Poisson sampling, noise on the sum, division by the expected batch size; ε by the "
        "privacy-loss distribution of the composed subsampled Gaussian mechanism. The guarantee "
        "does not cover the search of hyperparameters. A batch that outgrew its physical size "
        "would be cut; the last column counts the examples cut in all runs.",
    )


def recipes_table(runs: Sequence[DefenseRun], title: str = "") -> Table:
    """Hyperparameters of every defense."""
    shown: dict[str, Callable[[Recipe], str]] = {
        "optimizer": lambda recipe: recipe.optimizer,
        "learning rate": lambda recipe: f"{recipe.learning_rate:g}",
        "schedule": lambda recipe: "cosine" if recipe.cosine_decay else "constant",
        "batch size": lambda recipe: str(recipe.batch_size),
        "epochs": lambda recipe: str(recipe.epochs),
        "L2 clip": lambda recipe: _or_dash(recipe.l2_norm_clip),
        "copies": lambda recipe: _or_dash(recipe.augmentation_multiplicity),
        "averaging": lambda recipe: _or_dash(recipe.average_decay),
        "standardized weights": lambda recipe: "yes" if recipe.standardize_weights else UNKNOWN,
    }
    return Table(
        f"{title}Hyperparameters",
        ("defense", *shown),
        [[run.defense.label, *(show(run.recipe) for show in shown.values())] for run in runs],
        "Copies: shifted and flipped ones whose mean loss is one example's. Averaging: decay of "
        "the moving average of the parameters that is evaluated.",
    )


def of_removing(results: Results) -> Results:
    """The entries of defenses that remove examples: those with entries of `kept_entries`."""
    labels = {entry.keys["defense"] for entry in results.entries if "kept" in entry.keys}
    return Results(e for e in results.entries if e.keys.get("defense") in labels)


def _or_dash(value: float | None) -> str:
    return f"{value:g}" if value else UNKNOWN
