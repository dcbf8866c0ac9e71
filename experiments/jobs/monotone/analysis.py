"""Attack success over uniqueness, from the runs."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

from experiments.framework.results import Entry, Key, Results, entry
from experiments.jobs.monotone.examples import PER_EXAMPLE, SUCCESS, VARIABLES, Examples
from experiments.jobs.monotone.measure import Plan, Study
from experiments.jobs.monotone.shape import Shape, shape
from experiments.membership.analysis import decile_entries, quantile_bins

STRATA = ("lowest third", "middle third", "highest third")

Column = Sequence[Float[np.ndarray, " examples"]]
"""One number per example, for each seed."""


def analyze(plan: Plan, study: Study) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: estimator; success, one of `SUCCESS`; decile of the estimator, 10 for the most unique.
    Measures with the keys `within` and `stratum` compare examples within strata of equal size of
    one of `VARIABLES` only; without `stratum` they are about the mean over strata.
    """
    seeds = study.examples
    yield entry("test_accuracy", [run.outputs.test_correct.mean() for run in study.runs])
    for name in SUCCESS:
        yield entry("mean_success", [s[name].mean() for s in seeds], success=name)
    yield entry("fewest_appearances", min(s["appearances"].min() for s in seeds), "batches")
    yield entry("most_appearances", max(s["appearances"].max() for s in seeds), "batches")
    for estimator in plan.estimators:
        yield from _of_estimator(seeds, estimator.label)


def _of_estimator(seeds: Sequence[Examples], label: str) -> Iterator[Entry]:
    values = [s[label] for s in seeds]
    bins = [quantile_bins(of_seed) for of_seed in values]
    yield from decile_entries("uniqueness", values, bins, estimator=label)
    for name in (*VARIABLES, "doubted"):
        yield from decile_entries(name, [s[name] for s in seeds], bins, estimator=label)
    for name in SUCCESS:
        success = [s[name] for s in seeds]
        reached = _reached(values, success, estimator=label, success=name)
        yield from reached
        yield entry(
            "lowest_between",
            min(of_decile.measured.mean for of_decile in reached[1:-1]),
            estimator=label,
            success=name,
        )
        correlation = _spearman(values, success)
        yield from _shape(_curves(reached), correlation, estimator=label, success=name)
        if name in PER_EXAMPLE:
            for variable in VARIABLES:
                place: dict[str, Key] = {"estimator": label, "success": name, "within": variable}
                yield from _within_strata(values, success, [s[variable] for s in seeds], place)


def _within_strata(
    values: Column, success: Column, variable: Column, place: dict[str, Key]
) -> Iterator[Entry]:
    """The curve within strata of equal size of another variable, and its mean over strata."""
    strata = [quantile_bins(of_seed, len(STRATA)) for of_seed in variable]
    curves, correlations = [], []
    for number, stratum in enumerate(STRATA):
        inside = [of_seed == number for of_seed in strata]
        part = [[v[chosen] for v, chosen in zip(column, inside)] for column in (values, success)]
        reached = _reached(*part, **place, stratum=stratum)
        yield from reached
        curves.append(_curves(reached))
        correlations.append(_spearman(*part))
    yield from _shape(np.mean(curves, axis=0), np.mean(correlations, axis=0), **place)


def _reached(values: Column, success: Column, /, **keys: Key) -> list[Entry]:
    """Mean success by decile of the values."""
    bins = [quantile_bins(of_seed) for of_seed in values]
    return [*decile_entries("reached", success, bins, **keys)]


def _curves(reached: Sequence[Entry]) -> Float[np.ndarray, "seeds deciles"]:
    return np.stack([of_decile.measured.values for of_decile in reached], axis=1)


def _spearman(values: Column, success: Column) -> Float[np.ndarray, " seeds"]:
    return np.array([stats.spearmanr(*pair).statistic for pair in zip(values, success)])


def _shape(
    curves: Float[np.ndarray, "seeds deciles"],
    spearman: Float[np.ndarray, " seeds"],
    /,
    **keys: Key,
) -> Iterator[Entry]:
    """Rank correlation, and what the curve looks like, see `Shape`."""
    yield entry("spearman", spearman, **keys)
    for name, values in zip(Shape._fields, shape(curves)):
        yield entry(name, values, **keys)


def has_arms(curve: Results) -> bool:
    """Whether a curve is a U: both arms above 0 by their intervals."""
    return all(curve.get(arm).interval.low > 0 for arm in ("left_arm", "right_arm"))


def explains(stratified: Results) -> bool:
    """Whether the left arm is gone within strata: its interval does not lie above 0."""
    return not stratified.get("left_arm").interval.low > 0
