"""The numbers of the report, from the table of examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from experiments.framework.seeds import over_seeds
from experiments.inversion.runs import Plan, Results

SEARCHES = ("ig", "adaptive", "averaged")
ATTACKS = (*SEARCHES, "analytic")
MEASURES = ("ssim", "psnr", "success", "feature_error", "label_recovered")


def summarize(plan: Plan, results: Results) -> dict[str, Any]:
    """Everything that the report shows, as JSON types.

    Args:
        plan: What was done.
        results: What was measured.

    Returns:
        By defense: family, strength, examples per update, and by attack the mean of every measure
        per seed with its interval, and the rank correlation of quality with uniqueness.
    """
    defenses: dict[str, Any] = {}
    quality = "ssim" if plan.space.is_image else "feature_error"
    for shared, name in plan.pairs:
        entry = defenses.setdefault(
            shared.label,
            {
                "family": shared.family,
                "strength": shared.strength,
                "examples_per_update": shared.num_examples,
                "attacks": {},
            },
        )
        frame = of_pair(results.frame, shared.label, name)
        entry["attacks"][name] = _measures(frame) | {"spearman": _spearman(frame, quality)}
    return {"quality": quality, "defenses": defenses}


def of_pair(frame: pl.DataFrame, defense: str, attack: str) -> pl.DataFrame:
    """The rows of one defense and attack."""
    return frame.filter((pl.col("defense") == defense) & (pl.col("attack") == attack))


def strongest(entry: Mapping[str, Any], among: Sequence[str] = SEARCHES) -> str | None:
    """Of the attacks that were made on a defense, the one with the most success on the mean.

    Equal success is decided by the relative error. None if none was made.

    Args:
        entry: A defense in what `summarize` returned.
        among: Names of the attacks that count.
    """
    made = [name for name in among if name in entry["attacks"]]
    if not made:
        return None

    def order(name: str) -> tuple[float, float]:
        of_attack = entry["attacks"][name]
        return of_attack["success"]["mean"], -of_attack["feature_error"]["mean"]

    return max(made, key=order)


def _measures(frame: pl.DataFrame) -> dict[str, Any]:
    """Mean over examples per seed; None for what the attack does not give."""
    return {
        name: None
        if frame[name].is_null().all()
        else over_seeds([_mean(part[name]) for part in _by_seed(frame)])
        for name in MEASURES
    }


def _mean(values: pl.Series) -> float:
    # The PSNR of an exact reconstruction is infinite: it counts as that of float32's rounding.
    return float(np.mean(np.minimum(values.cast(pl.Float64).to_numpy(), 150)))


def _spearman(frame: pl.DataFrame, quality: str) -> dict[str, Any] | None:
    """Rank correlation, per seed, of the uniqueness with how well examples are reconstructed."""
    if frame[quality].is_null().all():
        return None
    sign = 1 if quality == "ssim" else -1
    with np.errstate(invalid="ignore"):
        return over_seeds(
            [
                float(stats.spearmanr(part["uniqueness"], sign * part[quality].to_numpy())[0])
                if part[quality].n_unique() > 1
                else float("nan")
                for part in _by_seed(frame)
            ]
        )


def _by_seed(frame: pl.DataFrame) -> list[pl.DataFrame]:
    return frame.partition_by("seed", maintain_order=True)
