"""The numbers of the comparison, from its runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, stats

from experiments.framework.results import Entry, Key, entry
from experiments.framework.seeds import over_seeds
from experiments.membership.attacks import ATTACKS, auc_per_example, measures
from experiments.membership.cost import StepCost
from experiments.membership.runs import DefenseRun, SeedRun
from experiments.tasks.task import Task
from gujax.uniqueness import predicted_auc, predicted_tpr

NUM_BINS = 10


def summarize(
    task: Task,
    results: Sequence[DefenseRun],
    ridges: Mapping[float, SeedRun],
    costs: Mapping[str, Mapping[str, StepCost]],
) -> dict[str, Any]:
    """Everything that the report shows, as JSON types.

    Args:
        task: Data and model.
        results: All defenses; plain SGD first.
        ridges: One seed of plain SGD by relative ridge.
        costs: Costs of steps by model and step, see `experiments.membership.cost`.
    """
    plain = results[0]
    bins = [quantile_bins(nats_per_example(run)) for run in plain.seeds]
    return {
        "defenses": {
            result.defense.label: _summarize_defense(task, result, plain, bins)
            for result in results
        },
        "bins": {
            "by": "nats accumulated in plain SGD, per seed, mean over the models given the example",
            "mean_nats": mean_over_bins([nats_per_example(run) for run in plain.seeds], bins),
        },
        "ridges": [
            {
                "relative_ridge": ridge,
                "median_nats": float(np.median(nats_per_example(run))),
                "max_nats": float(np.max(nats_per_example(run))),
                "prediction": predict_attack([run]),
            }
            for ridge, run in sorted(ridges.items())
        ],
        "cost": {
            model: {step: asdict(cost) for step, cost in steps.items()}
            for model, steps in costs.items()
        },
    }


def headline(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers by which comparisons are compared: accuracy and attack of each defense."""
    return {
        f"{label}, {name}": {end: of_defense[end] for end in ("mean", "low", "high")}
        for label, entry in summary["defenses"].items()
        for name, of_defense in (
            ("test accuracy", entry["test_accuracy"]),
            ("LiRA TPR at 1 % FPR", entry["attacks"]["lira"]["tpr_at_1pct"]),
        )
    }


def _summarize_defense(
    task: Task, result: DefenseRun, plain: DefenseRun, bins: Sequence[np.ndarray]
) -> dict[str, Any]:
    by_class = np.stack([class_accuracy(task, run) for run in result.seeds])
    accuracy = [run.outputs.test_correct.mean() for run in result.seeds]
    summary: dict[str, Any] = {
        "family": result.defense.family,
        "strength": result.defense.strength,
        "recipe": asdict(result.recipe),
        "privacy": asdict(result.privacy) if result.privacy else None,
        "overflow": int(sum(run.steps.overflow.sum() for run in result.seeds)),
        "test_accuracy": over_seeds(accuracy),
        "class_accuracy": [over_seeds(by_class[:, c]) for c in range(by_class.shape[1])],
        "worst_class_accuracy": over_seeds(by_class.min(axis=1)),
        "attacks": {attack: measures_over_seeds(result.seeds, attack) for attack in ATTACKS},
        "auc_by_bin": mean_over_bins([_auc(run) for run in result.seeds], bins),
        "prediction": predict_attack(result.seeds),
    }
    if result.defense.family == "censor":
        kept = [~run.removed for run in result.seeds]
        summary["kept"] = measures_over_seeds(result.seeds, "lira", kept)
        # The same points under the plain attack: the difference is what censoring did to them.
        summary["kept_in_plain_sgd"] = measures_over_seeds(plain.seeds, "lira", kept)
    return summary


def class_accuracy(task: Task, run: SeedRun) -> Float[np.ndarray, " classes"]:
    """Test accuracy of each class, over all models of a seed."""
    y = task.dataset.test.y
    return np.array(
        [run.outputs.test_correct[:, y == c].mean() for c in range(task.dataset.num_classes)]
    )


def nats_per_example(run: SeedRun) -> Float[np.ndarray, " examples"]:
    """Mean accumulated nats of each example over the models that were given it."""
    return np.where(run.members, run.nats, 0).sum(axis=0) / run.members.sum(axis=0)


def quantile_bins(
    values: Float[np.ndarray, " examples"], num_bins: int = NUM_BINS
) -> Int[np.ndarray, " examples"]:
    """Index of each example's quantile bin, 0 for the least; bins are equally full."""
    ranks = stats.rankdata(values, method="ordinal") - 1
    return (ranks * num_bins // len(values)).astype(int)


def mean_over_bins(
    values: Sequence[Float[np.ndarray, " examples"]], bins: Sequence[np.ndarray]
) -> list[dict[str, Any]]:
    """For each bin, the mean over its examples with its interval over seeds."""
    means = [
        [of_seed[of_bin == b].mean() for b in range(NUM_BINS)]
        for of_seed, of_bin in zip(values, bins)
    ]
    return [over_seeds(column) for column in np.array(means).T]


def predict_attack(seeds: Sequence[SeedRun]) -> dict[str, Any]:
    """The attack that composed μ predicts, beside the attack that was measured.

    μ of an example is the root mean square over models and seeds, its measured AUC is over all of
    them. `scale` is the factor on μ with which the mean predicted AUC equals the mean measured
    AUC: how much weaker the attacker on the final model is than the one of the prediction, who
    sees every update through the noise that the ridge stands for.
    """
    mu, measured = pooled_mu(seeds), pooled_auc(seeds)
    ranked = np.ptp(mu) > 0 and np.ptp(measured) > 0
    correlation = stats.spearmanr(mu, measured).statistic if ranked else float("nan")
    scale = _matching_scale(mu, float(measured.mean()))
    return {
        "median_mu": float(np.median(mu)),
        "predicted_auc": float(np.mean(predicted_auc(mu))),
        "measured_auc": float(measured.mean()),
        "predicted_tpr_at_1pct": float(np.mean(predicted_tpr(mu, 0.01))),
        "spearman": float(correlation),
        "scale": scale,
    }


def pooled_mu(seeds: Sequence[SeedRun]) -> Float[np.ndarray, " examples"]:
    """Root mean square of μ over the models and seeds that were given an example."""
    total = sum(np.where(run.members, run.mu**2, 0).sum(axis=0) for run in seeds)
    return np.sqrt(total / sum(run.members.sum(axis=0) for run in seeds))


def pooled_auc(seeds: Sequence[SeedRun]) -> Float[np.ndarray, " examples"]:
    """LiRA's AUC on each example over the models of all seeds."""
    scores = np.concatenate([run.outputs.scores["lira"] for run in seeds])
    return auc_per_example(scores, np.concatenate([run.members for run in seeds]))


def _auc(run: SeedRun) -> Float[np.ndarray, " examples"]:
    return auc_per_example(run.outputs.scores["lira"], run.members)


def _matching_scale(mu: Float[np.ndarray, " examples"], auc: float) -> float | None:
    def excess(log_scale: float) -> float:
        return float(np.mean(stats.norm.cdf(np.exp(log_scale) * mu / np.sqrt(2)))) - auc

    ends = (-12.0, 4.0)
    if not excess(ends[0]) < 0 < excess(ends[1]):
        return None  # the attack does not beat guessing
    return float(np.exp(optimize.brentq(excess, *ends)))


def measures_over_seeds(
    seeds: Sequence[SeedRun],
    attack: str,
    include: Sequence[Bool[np.ndarray, "*models examples"] | None] | None = None,
) -> dict[str, dict[str, Any]]:
    """What an attack reaches, see `experiments.membership.measures`, over seeds.

    Args:
        seeds: Runs of one defense.
        attack: One of `ATTACKS`.
        include: For each seed the examples to count, [N], or per model, [M, N]; all if None.
    """
    per_seed = [
        measures(run.outputs.scores[attack], run.members, include=counted)
        for run, counted in zip(seeds, include or [None] * len(seeds))
    ]
    return {name: over_seeds([of_seed[name] for of_seed in per_seed]) for name in per_seed[0]}


def attack_entries(
    seeds: Sequence[SeedRun],
    attack: str,
    include: Sequence[Bool[np.ndarray, "*models examples"] | None] | None = None,
    /,
    **keys: Key,
) -> Iterator[Entry]:
    """What an attack reaches, see `experiments.membership.attacks.measures`: auc, tpr_at_1pct, ….

    Args:
        seeds: Runs of one defense.
        attack: One of `ATTACKS`.
        include: For each seed the examples to count, [N], or per model, [M, N]; all if None.
        **keys: Keys of the entries.
    """
    per_seed = [
        measures(run.outputs.scores[attack], run.members, include=counted)
        for run, counted in zip(seeds, include or [None] * len(seeds))
    ]
    for name in per_seed[0]:
        yield entry(name, [of_seed[name] for of_seed in per_seed], **keys)


def accuracy_entry(seeds: Sequence[SeedRun], /, **keys: Key) -> Entry:
    """Test accuracy, mean over the models of a seed."""
    return entry("test_accuracy", [run.outputs.test_correct.mean() for run in seeds], **keys)


def decile_entries(
    measure: str,
    values: Sequence[Float[np.ndarray, " examples"]],
    bins: Sequence[Int[np.ndarray, " examples"]],
    /,
    **keys: Key,
) -> Iterator[Entry]:
    """The mean over each bin's examples, bins counted from 1 under the key "decile".

    Args:
        measure: Name of the measure.
        values: For each seed one value per example, [N].
        bins: For each seed the bin of each example, see `quantile_bins`.
        **keys: Further keys.
    """
    for index in range(NUM_BINS):
        means = [of_seed[of_bin == index].mean() for of_seed, of_bin in zip(values, bins)]
        yield entry(measure, means, **keys, decile=index + 1)
