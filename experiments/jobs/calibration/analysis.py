"""Predicted against achieved attacks, from the runs of one or several data sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from experiments.framework.seeds import over_seeds
from experiments.jobs.calibration.final import FinalRun
from experiments.jobs.calibration.fitting import Curve, fit_ridge
from experiments.jobs.calibration.release import Release, View
from experiments.membership.analysis import mean_over_bins, quantile_bins
from experiments.membership.attacks import auc_per_example, measures
from gujax.uniqueness import predicted_auc


@dataclass(frozen=True)
class Runs:
    """All runs on one data set, one entry per seed."""

    releases: Sequence[Release]
    finals: Sequence[FinalRun]


def summarize(view: View, runs: Mapping[str, Runs]) -> dict[str, Any]:
    """Everything that the report shows, as JSON types.

    Args:
        view: What the attackers of updates see.
        runs: Data set to its runs; the main one first.
    """
    finals = {name: [final_examples(view, run) for run in of.finals] for name, of in runs.items()}
    main = next(iter(runs))
    ridges = {name: [fit_ridge(*seed.everything) for seed in of] for name, of in finals.items()}
    return {
        "updates": {name: _updates(view, of.releases) for name, of in runs.items()},
        "final": {
            name: {
                **_final(finals[name], ridges[name], runs[name].finals),
                "carry_over": _carry_over(finals[name], ridges[main] if name != main else None),
            }
            for name in runs
        },
    }


@dataclass(frozen=True)
class FinalExamples:
    """One seed's final models: predictions and achieved AUC, for parts of models and examples.

    Attributes:
        everything: all models, all examples.
        fitted_on: half of the models, half of the examples.
        new_examples: the same models, the other examples.
        new_models: the other models, the same examples.
    """

    everything: tuple[Curve, Float[np.ndarray, " examples"]]
    fitted_on: tuple[Curve, Float[np.ndarray, " examples"]]
    new_examples: tuple[Curve, Float[np.ndarray, " examples"]]
    new_models: tuple[Curve, Float[np.ndarray, " examples"]]


def final_examples(view: View, run: FinalRun) -> FinalExamples:
    """Splits the models and the examples of a seed into halves.

    Models come in pairs of complementary training sets, which stay together, so that every example
    has as many models with it as without it.
    """
    num_models, num_examples = run.members.shape
    pairs = num_models // 2
    few = np.arange(num_models) % pairs < (pairs + 1) // 2
    chosen = np.arange(num_examples) % 2 == 0
    everything = _curve(view, run, np.ones(num_models, bool))
    first, second = _curve(view, run, few), _curve(view, run, ~few)
    return FinalExamples(
        everything,
        _part(first, chosen),
        _part(first, ~chosen),
        _part(second, chosen),
    )


def _curve(
    view: View, run: FinalRun, models: Bool[np.ndarray, " models"]
) -> tuple[Curve, Float[np.ndarray, " examples"]]:
    """Mean μ² over the models that were trained on an example, and what the loss gives away."""
    members = run.members[models]
    # Zero for the others, so that the sum is over members.
    mu_squared = run.mu_squared[:, models].sum(axis=1) / members.sum(axis=0)
    loss = run.outputs.scores["loss"][models]
    return Curve(np.asarray(view.grid), mu_squared), auc_per_example(loss, members)


def _part(whole: tuple[Curve, np.ndarray], chosen: np.ndarray) -> tuple[Curve, np.ndarray]:
    return whole[0].only(chosen), whole[1][chosen]


def _updates(view: View, releases: Sequence[Release]) -> list[dict[str, Any]]:
    """One entry per ridge and k: the attacker of every k-th update."""
    grid = np.asarray(view.grid)
    entries = []
    for r, ridge in enumerate(view.ridges):
        for k, every in enumerate(view.every):
            predicted = [
                np.asarray(predicted_auc(np.sqrt(run.mu_squared[r, k]))) for run in releases
            ]
            achieved = [run.auc[r, k] for run in releases]
            fitted = [fit_ridge(Curve(grid, run.curve), run.auc[r, k]) for run in releases]
            entries.append(
                {
                    "ridge": ridge,
                    "every": every,
                    **_agreement(predicted, achieved),
                    "fitted_ridge": _log_over_seeds(fitted),
                    "fitted_over_true": _log_over_seeds(np.array(fitted) / ridge),
                }
            )
    return entries


def _final(
    seeds: Sequence[FinalExamples], ridges: Sequence[float], runs: Sequence[FinalRun]
) -> dict[str, Any]:
    """The attacker of the final model, with the ridge that was fitted on the other seeds."""
    achieved = [of_seed.everything[1] for of_seed in seeds]
    predicted = [
        of_seed.everything[0].auc(others) for of_seed, others in zip(seeds, _of_the_others(ridges))
    ]
    lira = [measures(run.outputs.scores["lira"], run.members)["auc"] for run in runs]
    curves = [of_seed.everything[0] for of_seed in seeds]
    return {
        "fitted_ridge": _log_over_seeds(ridges),
        **_agreement(predicted, achieved),
        "lira_auc_pooled": over_seeds(lira),
        "test_accuracy": over_seeds([run.outputs.test_correct.mean() for run in runs]),
        "predicted_by_ridge": [
            {"ridge": float(ridge), **over_seeds([c.auc(ridge).mean() for c in curves])}
            for ridge in curves[0].ridges
        ],
    }


def _carry_over(
    seeds: Sequence[FinalExamples], main_ridges: Sequence[float] | None
) -> dict[str, Any]:
    """Predicted minus achieved mean AUC where the ridge was fitted on something else."""
    ridges = [fit_ridge(*of_seed.fitted_on) for of_seed in seeds]
    previous = [*ridges[-1:], *ridges[:-1]] if len(ridges) > 1 else [np.nan]

    def gaps(parts: Sequence[tuple[Curve, np.ndarray]], used: Sequence[float]) -> dict[str, Any]:
        return over_seeds(
            [
                float(np.mean(curve.auc(ridge)) - np.mean(auc)) if ridge == ridge else np.nan
                for (curve, auc), ridge in zip(parts, used)
            ]
        )

    everything = [of_seed.everything for of_seed in seeds]
    found = {
        "ridge": _log_over_seeds(ridges),
        "new_examples": gaps([of_seed.new_examples for of_seed in seeds], ridges),
        "new_models": gaps([of_seed.new_models for of_seed in seeds], ridges),
        "new_seeds": gaps(everything, previous),
    }
    if main_ridges is not None:
        found["from_main_dataset"] = gaps(everything, main_ridges)
    return found


def _of_the_others(ridges: Sequence[float]) -> list[float]:
    """For each seed the geometric mean of the other seeds' ridges; its own if it is the only."""
    logs = np.log(ridges)
    if len(logs) == 1:
        return list(ridges)
    return [float(np.exp(np.nanmean(np.delete(logs, seed)))) for seed in range(len(logs))]


def _agreement(predicted: Sequence[np.ndarray], achieved: Sequence[np.ndarray]) -> dict[str, Any]:
    """Means, their difference, and both by decile of the prediction."""
    bins = [quantile_bins(of_seed) for of_seed in predicted]
    by_bin = {
        "predicted_by_bin": mean_over_bins(predicted, bins),
        "achieved_by_bin": mean_over_bins(achieved, bins),
    }
    first, second = (
        np.array([of_bin["per_seed"] for of_bin in column]) for column in by_bin.values()
    )
    return {
        "predicted": over_seeds([of_seed.mean() for of_seed in predicted]),
        "achieved": over_seeds([of_seed.mean() for of_seed in achieved]),
        "gap": over_seeds([one.mean() - other.mean() for one, other in zip(predicted, achieved)]),
        "bin_gap": over_seeds(np.abs(first - second).mean(axis=0)),
        **by_bin,
    }


def _log_over_seeds(values: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """`over_seeds` of the logarithm to base 10, the scale on which ridges differ."""
    return over_seeds(np.log10(np.asarray(values, float)))
