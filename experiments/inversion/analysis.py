"""The numbers of the attacks, from the table of examples."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from scipy import stats

from experiments.framework.results import Entry, Key, Results, entry
from experiments.inversion.attacks import compared
from experiments.inversion.runs import Attacked, Plan

MEASURES = {"ssim": "", "psnr": "dB", "success": "", "feature_error": "", "label_recovered": ""}


def attack_entries(plan: Plan, attacked: Attacked, /, **keys: Key) -> Iterator[Entry]:
    """Everything that was measured of the attacks.

    Keys: defense and, but for what the defenses themselves are, attack.

    Args:
        plan: What was done.
        attacked: What was found.
        **keys: Further keys of the entries.

    Returns:
        The mean of every measure over the examples of a seed, and the rank correlation of quality
        with uniqueness; what an attack does not give is left out.
    """
    for shared in plan.shared_updates:
        if shared.strength is not None:
            yield entry("strength", shared.strength, **keys, defense=shared.label)
        yield entry("examples_per_update", shared.num_examples, **keys, defense=shared.label)
    quality = quality_measure(plan)
    sign = 1 if quality == "ssim" else -1
    for shared, name in plan.pairs:
        place: dict[str, Key] = {**keys, "defense": shared.label, "attack": name}
        seeds = with_attack(attacked.frame, shared.label, name).partition_by(
            "seed", maintain_order=True
        )
        for measure, unit in MEASURES.items():
            if not any(seed[measure].is_null().all() for seed in seeds):
                yield entry(measure, [_mean(seed[measure]) for seed in seeds], unit, **place)
        if not any(seed[quality].is_null().all() for seed in seeds):
            ranks = [_spearman(seed["uniqueness"], sign * seed[quality]) for seed in seeds]
            yield entry("spearman", ranks, **place)


def quality_measure(plan: Plan) -> str:
    """By which measure the quality of a reconstruction is ranked."""
    return "ssim" if plan.space.is_image else "feature_error"


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

    def order(name: str) -> tuple[float, float]:
        return (
            results.get("success", attack=name).mean,
            -results.get("feature_error", attack=name).mean,
        )

    made = [
        name
        for name in (compared() if among is None else among)
        if results.find("success", attack=name) is not None
    ]
    return max(made, key=order, default=None)


def _mean(values: pl.Series) -> float:
    # The PSNR of an exact reconstruction is infinite: it counts as that of float32's rounding.
    return float(np.mean(np.minimum(values.cast(pl.Float64).to_numpy(), 150)))


def _spearman(uniqueness: pl.Series, quality: pl.Series) -> float:
    """Rank correlation of the uniqueness with how well examples are reconstructed."""
    if quality.n_unique() <= 1:
        return float("nan")
    with np.errstate(invalid="ignore"):
        return float(stats.spearmanr(uniqueness.to_numpy(), quality.to_numpy())[0])
