"""The numbers of trained and attacked models, from their runs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, stats

from experiments.framework.results import Entry, Key, Results, entry, summarized
from experiments.membership.attacks import ATTACKS, measures
from experiments.membership.runs import DefenseRun, SeedRun
from experiments.tasks.task import Task
from gujax.attacks.membership import (
    auc_of_examples,
    best_of_attacks,
    true_positive_rates,
)
from gujax.statistics import Interval
from gujax.uniqueness import predicted_auc, predicted_tpr

NUM_BINS = 10
_RESAMPLES = 100
NUM_GROUPS = 20  # of examples, of which each is left out once to see what their choice does
STRONGEST = ("lira", "vector_lira", "rmia")  # of the attacks, those that tables have room for
RATES = {"tpr_at_1pct": 0.01, "tpr_at_01pct": 0.001}


def class_accuracy(task: Task, run: SeedRun) -> Float[np.ndarray, " classes"]:
    """Test accuracy of each class, over all models of a seed."""
    y = task.dataset.test.y
    return np.array(
        [run.outputs.test_correct[:, y == c].mean() for c in range(task.dataset.num_classes)]
    )


def nats_per_example(run: SeedRun) -> Float[np.ndarray, " examples"]:
    """Mean accumulated nats of each example over the models that were given it."""
    return run.nats.mean(axis=0, where=run.members)


def quantile_bins(
    values: Float[np.ndarray, " examples"], num_bins: int = NUM_BINS
) -> Int[np.ndarray, " examples"]:
    """Index of each example's quantile bin, 0 for the least; bins are equally full."""
    ranks = stats.rankdata(values, method="ordinal") - 1
    return (ranks * num_bins // len(values)).astype(int)


def prediction_entries(seeds: Sequence[SeedRun], /, **keys: Key) -> Iterator[Entry]:
    """The attack that composed μ predicts, beside the attack that was measured.

    μ of an example is the root mean square over models and seeds, its measured AUC is over all of
    them. `scale` is the factor on μ with which the mean predicted AUC equals the mean measured
    AUC: how much weaker the attacker on the final model is than the one of the prediction, who
    sees every update through the noise that the ridge stands for. It is unknown where the attack
    does not beat guessing.
    """
    mu, measured = pooled_mu(seeds), pooled_auc(seeds)
    ranked = np.ptp(mu) > 0 and np.ptp(measured) > 0
    for name, value in {
        "median_mu": np.median(mu),
        "predicted_auc": np.mean(predicted_auc(mu)),
        "measured_auc": measured.mean(),
        "predicted_tpr_at_1pct": np.mean(predicted_tpr(mu, 0.01)),
        "spearman": stats.spearmanr(mu, measured).statistic if ranked else np.nan,
        "scale": _matching_scale(mu, float(measured.mean())),
    }.items():
        yield entry(name, value, **keys)


def pooled_mu(seeds: Sequence[SeedRun]) -> Float[np.ndarray, " examples"]:
    """Root mean square of μ over the models and seeds that were given an example."""
    total = sum(np.where(run.members, run.mu**2, 0).sum(axis=0) for run in seeds)
    return np.sqrt(total / sum(run.members.sum(axis=0) for run in seeds))


def pooled_auc(seeds: Sequence[SeedRun]) -> Float[np.ndarray, " examples"]:
    """LiRA's AUC on each example over the models of all seeds, which are one another's shadows."""
    margin = np.concatenate([run.outputs.margin for run in seeds])
    return auc_of_examples(margin, np.concatenate([run.members for run in seeds]))


def _matching_scale(mu: Float[np.ndarray, " examples"], auc: float) -> float:
    def excess(log_scale: float) -> float:
        return float(np.mean(stats.norm.cdf(np.exp(log_scale) * mu / np.sqrt(2)))) - auc

    ends = (-12.0, 4.0)
    if not excess(ends[0]) < 0 < excess(ends[1]):
        return float("nan")  # the attack does not beat guessing
    return float(np.exp(optimize.brentq(excess, *ends)))


def attack_entries(
    seeds: Sequence[SeedRun],
    attack: str,
    include: Sequence[Bool[np.ndarray, "*models examples"] | None] | None = None,
    /,
    **keys: Key,
) -> Iterator[Entry]:
    """What an attack reaches, see `experiments.membership.attacks.measures`: auc, tpr_at_1pct, ….

    Args:
        include: For each seed the examples to count, [N], or per model, [M, N]; all if None.
    """
    per_seed = [
        measures(run.outputs.scores[attack], run.members, include=counted)
        for run, counted in zip(seeds, include or [None] * len(seeds))
    ]
    for name in per_seed[0]:
        yield entry(name, [of_seed[name] for of_seed in per_seed], **keys)


def attacks_entries(
    seeds: Sequence[SeedRun],
    include: Sequence[Bool[np.ndarray, "*models examples"] | None] | None = None,
    /,
    **keys: Key,
) -> Iterator[Entry]:
    """What each attack reaches, under the key "attack".

    "best" is, for each rate of `RATES`, the true-positive rate of the attack that is best on the
    other seeds, as in `found_by_best`.

    Args:
        include: For each seed the examples to count, [N], or per model, [M, N]; all if None.
    """
    found = {
        attack: list(attack_entries(seeds, attack, include, **keys, attack=attack))
        for attack in ATTACKS
    }
    for entries in found.values():
        yield from entries
    for rate in RATES:
        all_of = [
            e.measured.values for entries in found.values() for e in entries if e.measure == rate
        ]
        yield entry(rate, _of_the_best(np.array(all_of)), **keys, attack="best")


def found_by_best(seeds: Sequence[SeedRun]) -> Float[np.ndarray, "parts seeds"]:
    """What the best attack finds in each seed at 1 % false positives.

    The attack is chosen on the other seeds: chosen on the seed itself, the largest of several noisy
    numbers would be too large. (A single seed has no others.)

    Returns:
        First of all examples, then where each of `NUM_GROUPS` random groups of them (of single
        examples, if there are fewer) is left out.
    """
    num_examples = seeds[0].members.shape[1]
    num_groups = min(NUM_GROUPS, num_examples) if num_examples > 1 else 0
    group = np.random.default_rng(0).permutation(num_examples) % max(num_groups, 1)
    kept = np.vstack([np.ones(num_examples), group != np.arange(num_groups)[:, None]])
    reached = np.array(
        [
            [true_positive_rates(run.outputs.scores[a], run.members, kept) for run in seeds]
            for a in ATTACKS
        ]
    )
    return np.array([_of_the_best(of_part) for of_part in np.moveaxis(reached, -1, 0)])


def _of_the_best(reached: Float[np.ndarray, "some seeds"]) -> Float[np.ndarray, " seeds"]:
    """In each seed, what that attack (or part) reaches which is best on the other seeds."""
    num_seeds = reached.shape[1]
    if num_seeds == 1:
        return reached.max(axis=0)
    on_others = reached @ (1 - np.eye(num_seeds))
    return reached[on_others.argmax(axis=0), np.arange(num_seeds)]


def best_entries(seeds: Sequence[SeedRun], /, **keys: Key) -> Iterator[Entry]:
    """The maximum over attacks, the choice accounted for: `gujax.attacks.membership`.

    For each rate of `RATES`: `best_tpr_at_1pct` with `_low` and `_high`, the ends of its interval
    over examples and seeds together; `best_auc`; `best_attack`, the attack's place in `ATTACKS`.
    """
    best = best_of_attacks(
        {name: np.stack([run.outputs.scores[name] for run in seeds]) for name in ATTACKS},
        np.stack([run.members for run in seeds]),
        num_resamples=_RESAMPLES,
    )
    for rate, measure in zip(RATES, ("tpr_at_fpr_1pct", "tpr_at_fpr_01pct")):
        reached = best[measure].reached
        for end, value in zip(("", "_low", "_high"), reached):
            yield entry(f"best_{rate}{end}", value, **keys)
    yield entry("best_auc", best["auc"].reached.mean, **keys)
    chosen = list(ATTACKS).index(best["tpr_at_fpr_1pct"].chosen)
    yield entry("best_attack", chosen, **keys)


def between(row: Results, rate: str = "best_tpr_at_1pct") -> Interval:
    """A number of `best_entries` with its ends."""
    return Interval(*(row.get(f"{rate}{end}").mean for end in ("", "_low", "_high")))


def worst_entries(
    seeds: Sequence[SeedRun],
    labels: Int[np.ndarray, " examples"],
    measure: str,
    /,
    **keys: Key,
) -> Iterator[Entry]:
    """The part of the examples, by their labels, of which the most members are found.

    Under `measure` what is found there at 1 % false positives of its own, the part of a seed being
    the one that is worst in the other seeds; under "`measure`_is" the part that is worst on mean.
    By LiRA.
    """
    parts = np.unique(labels)
    found = np.array(
        [
            [
                measures(run.outputs.scores["lira"], run.members, include=labels == part)[
                    "tpr_at_1pct"
                ]
                for run in seeds
            ]
            for part in parts
        ]
    )
    yield entry(measure, _of_the_best(found), **keys)
    yield entry(f"{measure}_is", parts[found.mean(axis=1).argmax()], **keys)


def kept_entries(
    removing: DefenseRun, others: Sequence[DefenseRun], /, **keys: Key
) -> Iterator[Entry]:
    """The attacks where what one defense removed is left out, under the key "defense".

    The key "kept" says whose models are attacked on the pairs of model and example that stay:
    "own", or those of another defense by its label. Only so do they decide about the same pairs.
    """
    kept = [~run.removed for run in removing.seeds]
    label = removing.defense.label
    for run in (removing, *others):
        whose = "own" if run is removing else run.defense.label
        yield from attacks_entries(run.seeds, kept, **keys, defense=label, kept=whose)


def defense_entries(run: DefenseRun, /, **keys: Key) -> Iterator[Entry]:
    """Accuracy, attacks and guarantee of one defense, under the key "defense".

    `overflow` is the number of examples that were cut from Poisson batches, in all seeds.
    """
    keys = {**keys, "defense": run.defense.label}
    yield accuracy_entry(run.seeds, **keys)
    yield from attacks_entries(run.seeds, **keys)
    if run.privacy is not None:
        for name, value in asdict(run.privacy).items():
            yield entry(name, value, **keys)
        overflow = sum(of_seed.steps.overflow.sum() for of_seed in run.seeds)
        yield entry("overflow", overflow, **keys)


def headline(
    results: Results, attack: str = "best", name: str = "TPR at 1 % FPR"
) -> dict[str, Any]:
    """The numbers by which runs are compared: accuracy and one attack of each defense."""
    return {
        f"{label}, {what}": summarized(measured)
        for (label,), row in results.groups("defense")
        for what, measured in (
            ("test accuracy", row.get("test_accuracy")),
            (name, row.get("tpr_at_1pct", attack=attack)),
        )
    }


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

    Both are given for each seed, [N]: one value per example, and its bin, see `quantile_bins`.
    """
    for index in range(NUM_BINS):
        means = [of_seed[of_bin == index].mean() for of_seed, of_bin in zip(values, bins)]
        yield entry(measure, means, **keys, decile=index + 1)
