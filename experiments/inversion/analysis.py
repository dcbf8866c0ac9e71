"""The numbers of the attacks, from the table of examples."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import ArrayLike
from scipy import stats

from experiments.framework.results import Entry, Key, Results, entry
from experiments.inversion.attacks import compared
from experiments.inversion.runs import Attacked, Plan

MEASURES = {"ssim": "", "psnr": "dB", "success": "", "feature_error": "", "label_recovered": ""}


def attack_entries(plan: Plan, attacked: Attacked, /, **keys: Key) -> Iterator[Entry]:
    """The mean of every measure over the examples of a seed, and the correlation with uniqueness.

    Keys: those given, defense and, but for what the defenses themselves are, attack. What an attack
    does not give is left out.
    """
    for shared in plan.shared_updates:
        if shared.strength is not None:
            yield entry("strength", shared.strength, **keys, defense=shared.label)
        yield entry("examples_per_update", shared.num_examples, **keys, defense=shared.label)
    sign = 1 if plan.quality == "ssim" else -1
    for shared, name in plan.pairs:
        place: dict[str, Key] = {**keys, "defense": shared.label, "attack": name}
        seeds = with_attack(attacked.frame, shared.label, name).partition_by(
            "seed", maintain_order=True
        )
        given = [name for name in MEASURES if not any(s[name].is_null().all() for s in seeds)]
        for measure in given:
            values = [_mean(seed[measure]) for seed in seeds]
            yield entry(measure, values, MEASURES[measure], **place)
        if plan.quality in given:
            ranks = [spearman(seed["uniqueness"], sign * seed[plan.quality]) for seed in seeds]
            yield entry("spearman", ranks, **place)


def with_attack(frame: pl.DataFrame, defense: str, attack: str) -> pl.DataFrame:
    """The rows of one defense and attack."""
    return frame.filter((pl.col("defense") == defense) & (pl.col("attack") == attack))


def strongest(results: Results, among: Sequence[str] | None = None) -> str | None:
    """Of the attacks that were made on a defense, the one with the most success on the mean.

    Equal success is decided by the relative error. None if none was made.

    Args:
        results: The defense's entries, by attack.
        among: Names of the attacks that count; default: all whose success is compared.
    """

    reached = {}
    for name in compared() if among is None else among:
        if (success := results.find("success", attack=name)) is not None:
            error = results.get("feature_error", attack=name)
            reached[name] = success.mean, -error.mean
    return max(reached, key=reached.__getitem__, default=None)


def _mean(values: pl.Series) -> float:
    # The PSNR of an exact reconstruction is infinite: it counts as that of float32's rounding.
    return float(np.mean(np.minimum(values.cast(pl.Float64).to_numpy(), 150)))


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Rank correlation where both are finite; NaN if one is constant, or for less than 3 points."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    kept = np.isfinite(a) & np.isfinite(b)
    if kept.sum() < 3 or np.ptp(a[kept]) == 0 or np.ptp(b[kept]) == 0:
        return float("nan")
    return float(stats.spearmanr(a[kept], b[kept]).statistic)
