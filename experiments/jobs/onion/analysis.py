"""The numbers of the onion, from its runs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from experiments.framework.results import differences, over_seeds
from experiments.jobs.onion.rounds import Arm, Masks, Peeled, Scope
from experiments.membership.analysis import (
    NUM_BINS,
    measures_over_seeds,
    nats_per_example,
    quantile_bins,
)
from experiments.membership.attacks import measures
from experiments.membership.defenses import most_disclosed
from experiments.membership.runs import SeedRun

MEASURES = ("auc", "tpr_at_1pct")

Vector = Float[np.ndarray, " survivors"]


def summarize(peeled: Peeled, fraction: float) -> dict[str, Any]:
    """Everything that the report shows, as JSON types.

    Args:
        peeled: All runs.
        fraction: Share that each round removes.
    """
    scopes = list(dict.fromkeys(arm.scope for arm in peeled.rounds))
    return {
        "recipe": asdict(peeled.recipe),
        "nothing_removed": {
            "test_accuracy": _accuracy(peeled.again),
            "attack": measures_over_seeds(peeled.again, "lira"),
        },
        "scopes": {
            scope: [
                _summarize_round(peeled, scope, number, fraction)
                for number in range(len(peeled.rounds[Arm(scope, "nats")]))
            ]
            for scope in scopes
        },
    }


def _summarize_round(peeled: Peeled, scope: Scope, number: int, fraction: float) -> dict[str, Any]:
    by_nats, by_chance = (peeled.rounds[Arm(scope, by)][number] for by in ("nats", "chance"))
    stayed = [survivors(one) & survivors(other) for one, other in zip(by_nats, by_chance)]
    attack = {
        name: measures_over_seeds(runs, "lira", stayed)
        for name, runs in (
            ("before", peeled.again),
            ("before_in_audited_models", peeled.audited),
            ("after_nats", by_nats),
            ("after_chance", by_chance),
        )
    }
    return {
        "round": number + 1,
        "removed_share": over_seeds([run.removed[run.members].mean() for run in by_nats]),
        "test_accuracy": {"nats": _accuracy(by_nats), "chance": _accuracy(by_chance)},
        "survivors": {
            **attack,
            "rise": _differ(attack["after_nats"], attack["before"]),
            "rise_by_chance": _differ(attack["after_chance"], attack["before"]),
            "against_chance": _differ(attack["after_nats"], attack["after_chance"]),
        },
        "counted_as_members": {
            "nats": measures_over_seeds(by_nats, "lira"),
            "chance": measures_over_seeds(by_chance, "lira"),
        },
        "left_out": {
            "nats": measures_over_seeds(by_nats, "lira", [survivors(run) for run in by_nats]),
            "chance": measures_over_seeds(by_chance, "lira", [survivors(run) for run in by_chance]),
        },
        "auc_by_bin": {
            name: _auc_by_bin(peeled.audited, runs, stayed)
            for name, runs in (("before", peeled.again), ("nats", by_nats), ("chance", by_chance))
        },
        "uniqueness": {
            name: _uniqueness(scope, peeled.audited, runs, stayed, fraction)
            for name, runs in (("nothing", peeled.again), ("nats", by_nats), ("chance", by_chance))
        },
    }


def survivors(run: SeedRun) -> Bool[np.ndarray, "models examples"]:
    """The pairs of model and example that count after a removal, [M, N].

    A removed member takes the same example's non-member pair in the complementary model with it:
    every example then counts as often as a member as it counts as a non-member. Otherwise removed
    examples would stay among the non-members alone.
    """
    complement = np.roll(run.removed, len(run.removed) // 2, axis=0)
    return ~(run.removed | complement)


def _auc_by_bin(
    audited: Sequence[SeedRun], runs: Sequence[SeedRun], stayed: Masks
) -> list[dict[str, Any]]:
    """LiRA's AUC on survivors, by decile of what the models audited first disclosed about them."""
    table = np.full((len(runs), NUM_BINS), np.nan)
    for seed, (first, run, counted) in enumerate(zip(audited, runs, stayed)):
        examples = np.flatnonzero(counted.any(axis=0))
        bins = quantile_bins(nats_per_example(first)[examples])
        for index in range(NUM_BINS):
            include = np.zeros_like(counted)
            of_bin = examples[bins == index]
            include[:, of_bin] = counted[:, of_bin]
            if include.any():
                scores = run.outputs.scores["lira"]
                table[seed, index] = measures(scores, run.members, include)["auc"]
    return [over_seeds(column) for column in table.T]


def _uniqueness(
    scope: Scope,
    audited: Sequence[SeedRun],
    runs: Sequence[SeedRun],
    stayed: Masks,
    fraction: float,
) -> dict[str, Any]:
    """How the nats of survivors changed, relative to the models audited first.

    For the scope "model" ranks are those within each training set, averaged over models; for the
    scope "data" those of the mean nats over models.
    """
    pairs = [
        _survivors_nats(scope, first, run, counted)
        for first, run, counted in zip(audited, runs, stayed)
    ]

    def averaged(measure: Callable[[Vector, Vector], Any]) -> np.ndarray:
        return np.array(
            [np.mean([measure(*pair) for pair in of_seed], axis=0) for of_seed in pairs]
        )

    origin = averaged(partial(top_origin, fraction=fraction))
    return {
        "mean_nats_before": over_seeds(averaged(lambda before, after: before.mean())),
        "mean_nats": over_seeds(averaged(lambda before, after: after.mean())),
        "spearman": over_seeds(averaged(lambda *pair: stats.spearmanr(*pair).statistic)),
        "new_in_top": over_seeds(averaged(partial(new_in_top, fraction=fraction))),
        "top_origin": [over_seeds(share) for share in origin.T],
    }


def _survivors_nats(
    scope: Scope, first: SeedRun, run: SeedRun, counted: np.ndarray
) -> list[tuple[Vector, Vector]]:
    """Nats of survivors in the models audited first, and after removal."""
    if scope == "model":
        rows = run.members & counted
        return [(a[row], b[row]) for a, b, row in zip(first.nats, run.nats, rows)]
    examples = counted.any(axis=0)
    return [(nats_per_example(first)[examples], nats_per_example(run)[examples])]


def top_origin(before: Vector, after: Vector, fraction: float) -> Float[np.ndarray, " bins"]:
    """Where those come from that have most nats now: their share by decile of nats before.

    Args:
        before: Nats of each survivor before.
        after: Its nats now.
        fraction: Share of the survivors that counts as having most.
    """
    bins = quantile_bins(before)[_top(after, fraction)]
    return np.bincount(bins, minlength=NUM_BINS) / len(bins)


def new_in_top(before: Vector, after: Vector, fraction: float) -> float:
    """Share of those with most nats now who were not among those with most before."""
    now = _top(after, fraction)
    return 1 - float(np.mean(_top(before, fraction)[now]))


def _top(nats: Vector, fraction: float) -> Bool[np.ndarray, " survivors"]:
    return most_disclosed(nats[None], np.ones((1, len(nats)), bool), fraction)[0]


def _differ(larger: dict[str, Any], smaller: dict[str, Any]) -> dict[str, Any]:
    return {name: differences(larger[name], smaller[name]) for name in MEASURES}


def _accuracy(runs: Sequence[SeedRun]) -> dict[str, Any]:
    return over_seeds([run.outputs.test_correct.mean() for run in runs])
