"""Predicted against achieved attacks, from the runs of one or several data sets."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from experiments.framework.results import Entry, Key, entry
from experiments.jobs.calibration.final import FinalRun
from experiments.jobs.calibration.fitting import Curve, fit_ridge
from experiments.jobs.calibration.measure import Plan, Runs
from experiments.jobs.calibration.options import GRID, Options
from experiments.jobs.calibration.release import Release
from experiments.membership.analysis import decile_entries, quantile_bins
from experiments.membership.attacks import auc_per_example, measures
from gujax.uniqueness import predicted_auc


def analyze(plan: Plan, runs: Mapping[str, Runs]) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: attack, on "updates" or on the "final" model; dataset; decile of the prediction; for
    updates also the ridge and k of `every` k-th update. `carried_to` says where a ridge was used
    that was fitted on something else. Fitted ridges are logarithms to base 10, the scale on which
    ridges differ.
    """
    parts = {name: parts_of(done.finals) for name, done in runs.items()}
    main = _fitted(parts[plan.options.dataset]["everything"])
    for name, of_dataset in parts.items():
        yield from _updates(plan.options, runs[name].releases, name)
        place: dict[str, Key] = {"attack": "final", "dataset": name}
        yield from _final(of_dataset["everything"], runs[name].finals, place)
        yield from _carry_over(of_dataset, place)
        if name != plan.options.dataset:
            yield _gaps(of_dataset["everything"], main, carried_to="another_dataset", **place)


class Part(NamedTuple):
    """Some models and examples of one seed: predictions, and the AUC that the loss gives away."""

    curve: Curve
    achieved: Float[np.ndarray, " examples"]

    def only(self, chosen: Bool[np.ndarray, " examples"]) -> "Part":
        """The same of some examples."""
        return Part(self.curve.only(chosen), self.achieved[chosen])


def parts_of(finals: Sequence[FinalRun]) -> dict[str, list[Part]]:
    """Splits the models and the examples of every seed into halves.

    Models come in pairs of complementary training sets, which stay together, so that every example
    has as many models with it as without it.

    Returns:
        For each seed, "everything": all models, all examples; "fitted_on": half of the models, half
        of the examples; "new_examples": the same models, the other examples; "new_models": the
        other models, the same examples.
    """
    num_models, num_examples = finals[0].members.shape
    pairs = num_models // 2
    few = np.arange(num_models) % pairs < (pairs + 1) // 2
    chosen = np.arange(num_examples) % 2 == 0
    first, second = ([_part(run, models) for run in finals] for models in (few, ~few))
    return {
        "everything": [_part(run, np.ones(num_models, bool)) for run in finals],
        "fitted_on": [part.only(chosen) for part in first],
        "new_examples": [part.only(~chosen) for part in first],
        "new_models": [part.only(chosen) for part in second],
    }


def _part(run: FinalRun, models: Bool[np.ndarray, " models"]) -> Part:
    """Mean μ² over the models that were trained on an example, and what the loss gives away."""
    members = run.members[models]
    # Zero for the others, so that the sum is over members.
    mu_squared = run.mu_squared[:, models].sum(axis=1) / members.sum(axis=0)
    loss = run.outputs.scores["loss"][models]
    return Part(Curve(np.asarray(GRID), mu_squared), auc_per_example(loss, members))


def _fitted(parts: Iterable[Part]) -> list[float]:
    return [fit_ridge(*part) for part in parts]


def _updates(options: Options, releases: Sequence[Release], dataset: str) -> Iterator[Entry]:
    """The attacker of every k-th update, for each ridge and k."""
    curves = [Curve(np.asarray(GRID), run.curve) for run in releases]
    for (r, ridge), (k, every) in product(enumerate(options.ridges), enumerate(options.every)):
        place: dict[str, Key] = {"attack": "updates", "dataset": dataset}
        place |= {"ridge": ridge, "every": every}
        mu = [np.sqrt(run.mu_squared[r, k]) for run in releases]
        achieved = [run.auc[r, k] for run in releases]
        yield from _agreement([np.asarray(predicted_auc(m)) for m in mu], achieved, place)
        fitted = _fitted(map(Part, curves, achieved))
        yield _log10("fitted_ridge", fitted, place)
        yield _log10("fitted_over_true", np.array(fitted) / ridge, place)


def _final(
    everything: Sequence[Part], runs: Sequence[FinalRun], place: Mapping[str, Key]
) -> Iterator[Entry]:
    """The attacker of the final model, with the ridge that was fitted on the other seeds."""
    fitted = _fitted(everything)
    predicted = [p.curve.auc(others) for p, others in zip(everything, _of_the_others(fitted))]
    yield _log10("fitted_ridge", fitted, place)
    yield from _agreement(predicted, [part.achieved for part in everything], place)
    lira = [measures(run.outputs.scores["lira"], run.members)["auc"] for run in runs]
    yield entry("lira_auc_pooled", lira, **place)
    yield entry("test_accuracy", [run.outputs.test_correct.mean() for run in runs], **place)
    for ridge in everything[0].curve.ridges.tolist():
        under = [part.curve.auc(ridge).mean() for part in everything]
        yield entry("predicted_under", under, **place, ridge=ridge)


def _carry_over(parts: Mapping[str, Sequence[Part]], place: Mapping[str, Key]) -> Iterator[Entry]:
    """Predicted minus achieved mean AUC where the ridge was fitted on something else."""
    ridges = _fitted(parts["fitted_on"])
    previous = [*ridges[-1:], *ridges[:-1]] if len(ridges) > 1 else [np.nan]
    yield _log10("ridge_of_half", ridges, place)
    yield _gaps(parts["new_examples"], ridges, carried_to="new_examples", **place)
    yield _gaps(parts["new_models"], ridges, carried_to="new_models", **place)
    yield _gaps(parts["everything"], previous, carried_to="new_seeds", **place)


def _gaps(parts: Sequence[Part], ridges: Sequence[float], /, **keys: Key) -> Entry:
    gaps = [
        np.mean(part.curve.auc(ridge)) - np.mean(part.achieved) if ridge == ridge else np.nan
        for part, ridge in zip(parts, ridges)
    ]
    return entry("gap", gaps, **keys)


def _of_the_others(ridges: Sequence[float]) -> list[float]:
    """For each seed the geometric mean of the other seeds' ridges; its own if it is the only."""
    logs = np.log(ridges)
    if len(logs) == 1:
        return list(ridges)
    return [float(np.exp(np.nanmean(np.delete(logs, seed)))) for seed in range(len(logs))]


def _agreement(
    predicted: Sequence[np.ndarray], achieved: Sequence[np.ndarray], place: Mapping[str, Key]
) -> Iterator[Entry]:
    """Means, their difference, and both by decile of the prediction."""
    bins = [quantile_bins(of_seed) for of_seed in predicted]
    by_bin = []  # of each, [deciles, seeds]
    for name, column in (("predicted", predicted), ("achieved", achieved)):
        yield entry(name, [of_seed.mean() for of_seed in column], **place)
        deciles = [*decile_entries(name, column, bins, **place)]
        yield from deciles
        by_bin.append(np.array([decile.measured.values for decile in deciles]))
    gaps = [one.mean() - other.mean() for one, other in zip(predicted, achieved)]
    yield entry("gap", gaps, **place)
    first, second = by_bin
    yield entry("bin_gap", np.abs(first - second).mean(axis=0), **place)


def _log10(measure: str, values: ArrayLike, place: Mapping[str, Key]) -> Entry:
    return entry(measure, np.log10(np.asarray(values, float)), "log10", **place)
