"""Attack success over uniqueness, from the runs."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from experiments.framework.seeds import over_seeds
from experiments.jobs.monotone.estimators import Estimator
from experiments.jobs.monotone.runs import SeedRun
from experiments.jobs.monotone.shape import shape
from experiments.membership.analysis import mean_over_bins, quantile_bins
from experiments.membership.attacks import auc_per_example
from gujax.attacks.membership import evaluate_attack

NUM_STRATA = 3

SUCCESS = {
    "lira_auc": "LiRA: AUC per example",
    "loss_auc": "loss alone: AUC per example",
    "lira_success": "LiRA: share of right guesses",
    "loss_success": "loss threshold: share of right guesses",
    "loss_found": "loss threshold: share of members found",
}

# Success that is calibrated to each example, not by one threshold for all.
PER_EXAMPLE = ("lira_auc", "loss_auc")

VARIABLES = {
    "gradient_norm": "squared gradient norm, summed over the run",
    "member_loss": "loss under models trained on it",
    "held_out_loss": "loss under models not trained on it",
}


class Examples(NamedTuple):
    """One seed's training examples; every entry is [N].

    Attributes:
        uniqueness: for each estimator, the mean total over the models trained on the example.
        success: for each name of `SUCCESS`, what the attack reaches on the example.
        variables: for each name of `VARIABLES`, a mean over models.
        doubted: share of models not trained on the example that give its label less than 1/2:
            mislabelled or atypical examples have a large one.
        appearances: mean number of batches that held the example, over the models trained on it.
    """

    uniqueness: dict[Estimator, Float[np.ndarray, " examples"]]
    success: dict[str, Float[np.ndarray, " examples"]]
    variables: dict[str, Float[np.ndarray, " examples"]]
    doubted: Float[np.ndarray, " examples"]
    appearances: Float[np.ndarray, " examples"]


def per_example(run: SeedRun) -> Examples:
    """What one seed says about every example."""
    members = run.members
    lira, loss = run.outputs.scores["lira"], run.outputs.scores["loss"]
    threshold = evaluate_attack(loss, members, num_resamples=0)
    uniqueness = {e: _mean_where(members, total) for e, total in run.measured.items()}
    norms = [values for estimator, values in uniqueness.items() if estimator.kind == "norm"]
    return Examples(
        uniqueness,
        {
            "lira_auc": auc_per_example(lira, members),
            # LiRA leaves a target out of its own shadow models, which unbalances them: with few of
            # them its AUC is biased downwards. The rank of the bare loss has no such bias.
            "loss_auc": auc_per_example(loss, members),
            "lira_success": evaluate_attack(lira, members, num_resamples=0).success,
            "loss_success": threshold.success,
            "loss_found": _mean_where(members, loss >= threshold.threshold),
        },
        {
            "gradient_norm": norms[0],
            "member_loss": _mean_where(members, -loss),
            "held_out_loss": _mean_where(~members, -loss),
        },
        _mean_where(~members, loss < np.log(0.5)),
        _mean_where(members, run.appearances),
    )


def summarize(seeds: Sequence[Examples], test_accuracy: Sequence[float]) -> dict[str, Any]:
    """Everything that the report shows, as JSON types.

    Args:
        seeds: The examples of every seed.
        test_accuracy: Mean test accuracy of the models of every seed.
    """
    estimators = list(seeds[0].uniqueness)
    return {
        "test_accuracy": over_seeds(test_accuracy),
        "success": {name: over_seeds([s.success[name].mean() for s in seeds]) for name in SUCCESS},
        "appearances": [
            float(min(s.appearances.min() for s in seeds)),
            float(max(s.appearances.max() for s in seeds)),
        ],
        "estimators": {
            estimator.label: _summarize_estimator(seeds, estimator) for estimator in estimators
        },
    }


def _summarize_estimator(seeds: Sequence[Examples], estimator: Estimator) -> dict[str, Any]:
    values = [s.uniqueness[estimator] for s in seeds]
    bins = [quantile_bins(of_seed) for of_seed in values]
    shown = {name: [s.variables[name] for s in seeds] for name in VARIABLES}
    shown["doubted"] = [s.doubted for s in seeds]
    return {
        "kind": estimator.kind,
        "relative_ridge": estimator.ridge,
        "mean_by_bin": mean_over_bins(values, bins),
        "success": {
            name: _curve(values, [s.success[name] for s in seeds], bins) for name in SUCCESS
        },
        "profile": {name: mean_over_bins(column, bins) for name, column in shown.items()},
        "strata": {
            name: {
                variable: _stratified(values, [s.success[name] for s in seeds], shown[variable])
                for variable in VARIABLES
            }
            for name in PER_EXAMPLE
        },
    }


def _curve(
    values: Sequence[np.ndarray], success: Sequence[np.ndarray], bins: Sequence[np.ndarray]
) -> dict[str, Any]:
    by_bin = mean_over_bins(success, bins)
    correlations = [stats.spearmanr(*pair).statistic for pair in zip(values, success)]
    curves = np.array([of_bin["per_seed"] for of_bin in by_bin]).T
    return {
        "spearman": over_seeds(correlations),
        "by_bin": by_bin,
        **_shape(curves),
    }


def _stratified(
    values: Sequence[np.ndarray], success: Sequence[np.ndarray], variable: Sequence[np.ndarray]
) -> dict[str, Any]:
    """The curve within strata of equal size of another variable, and its mean over strata."""
    curves = []  # [seeds, strata, bins]
    correlations = []
    for of_seed, reached, other in zip(values, success, variable):
        strata = quantile_bins(other, NUM_STRATA)
        rows, ranks = [], []
        for stratum in range(NUM_STRATA):
            inside = strata == stratum
            by_bin = mean_over_bins([reached[inside]], [quantile_bins(of_seed[inside])])
            rows.append([of_bin["mean"] for of_bin in by_bin])
            ranks.append(stats.spearmanr(of_seed[inside], reached[inside]).statistic)
        curves.append(rows)
        correlations.append(np.mean(ranks))
    stacked = np.array(curves)
    return {
        "by_bin": [
            [over_seeds(of_bin) for of_bin in stacked[:, stratum].T]
            for stratum in range(NUM_STRATA)
        ],
        "spearman": over_seeds(correlations),
        **_shape(stacked.mean(axis=1)),
    }


def _shape(curves: Float[np.ndarray, "seeds bins"]) -> dict[str, Any]:
    return {name: over_seeds(values) for name, values in shape(curves)._asdict().items()}


def has_arms(curve: Mapping[str, Any]) -> bool:
    """Whether a summarized curve is a U: both arms above 0 by their intervals."""
    return curve["left_arm"]["low"] > 0 and curve["right_arm"]["low"] > 0


def explains(stratified: Mapping[str, Any]) -> bool:
    """Whether the left arm is gone within strata: its interval does not lie above 0."""
    return not stratified["left_arm"]["low"] > 0


def _mean_where(
    chosen: Bool[np.ndarray, "models examples"], values: Float[np.ndarray, "models examples"]
) -> Float[np.ndarray, " examples"]:
    return np.where(chosen, values, 0).sum(axis=0) / chosen.sum(axis=0)
