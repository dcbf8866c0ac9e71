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
    parts = {name: [halved(run) for run in done.finals] for name, done in runs.items()}
    main = _fitted(seed.everything for seed in parts[plan.options.dataset])
    for name, seeds in parts.items():
        yield from _updates(plan.options, runs[name].releases, name)
        place: dict[str, Key] = {"attack": "final", "dataset": name}
        yield from _final(seeds, runs[name].finals, place)
        yield from _carry_over(seeds, place)
        if name != plan.options.dataset:
            everything = [seed.everything for seed in seeds]
            yield _gaps(everything, main, carried_to="another_dataset", **place)


class Part(NamedTuple):
    """Some models and examples of one seed: predictions, and what the loss gives away.

    Attributes:
        curve: Prediction for each example.
        achieved: AUC on each example, [N].
    """

    curve: Curve
    achieved: Float[np.ndarray, " examples"]

    def only(self, chosen: Bool[np.ndarray, " examples"]) -> "Part":
        """The same of some examples."""
        return Part(self.curve.only(chosen), self.achieved[chosen])


class Parts(NamedTuple):
    """Parts of one seed's final models.

    Attributes:
        everything: all models, all examples.
        fitted_on: half of the models, half of the examples.
        new_examples: the same models, the other examples.
        new_models: the other models, the same examples.
    """

    everything: Part
    fitted_on: Part
    new_examples: Part
    new_models: Part


def halved(run: FinalRun) -> Parts:
    """Splits the models and the examples of a seed into halves.

    Models come in pairs of complementary training sets, which stay together, so that every example
    has as many models with it as without it.
    """
    num_models, num_examples = run.members.shape
    pairs = num_models // 2
    few = np.arange(num_models) % pairs < (pairs + 1) // 2
    chosen = np.arange(num_examples) % 2 == 0
    first, second = _part(run, few), _part(run, ~few)
    everything = _part(run, np.ones(num_models, bool))
    return Parts(everything, first.only(chosen), first.only(~chosen), second.only(chosen))


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
    seeds: Sequence[Parts], runs: Sequence[FinalRun], place: Mapping[str, Key]
) -> Iterator[Entry]:
    """The attacker of the final model, with the ridge that was fitted on the other seeds."""
    everything = [seed.everything for seed in seeds]
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


def _carry_over(seeds: Sequence[Parts], place: Mapping[str, Key]) -> Iterator[Entry]:
    """Predicted minus achieved mean AUC where the ridge was fitted on something else."""
    ridges = _fitted(seed.fitted_on for seed in seeds)
    previous = [*ridges[-1:], *ridges[:-1]] if len(ridges) > 1 else [np.nan]
    yield _log10("ridge_of_half", ridges, place)
    for where, part, used in (
        ("new_examples", "new_examples", ridges),
        ("new_models", "new_models", ridges),
        ("new_seeds", "everything", previous),
    ):
        yield _gaps([getattr(seed, part) for seed in seeds], used, carried_to=where, **place)


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
    columns = {"predicted": predicted, "achieved": achieved}
    bins = [quantile_bins(of_seed) for of_seed in predicted]
    by_bin = {
        name: [*decile_entries(name, column, bins, **place)] for name, column in columns.items()
    }
    for name, column in columns.items():
        yield entry(name, [of_seed.mean() for of_seed in column], **place)
        yield from by_bin[name]
    gaps = [one.mean() - other.mean() for one, other in zip(predicted, achieved)]
    yield entry("gap", gaps, **place)
    first, second = (
        np.array([of_bin.measured.values for of_bin in column]) for column in by_bin.values()
    )
    yield entry("bin_gap", np.abs(first - second).mean(axis=0), **place)


def _log10(measure: str, values: ArrayLike, place: Mapping[str, Key]) -> Entry:
    return entry(measure, np.log10(np.asarray(values, float)), "log10", **place)
