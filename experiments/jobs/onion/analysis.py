"""The numbers of the onion, from its runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from experiments.framework.results import Entry, Key, entry
from experiments.jobs.onion.measure import Plan
from experiments.jobs.onion.options import Scope
from experiments.jobs.onion.rounds import Arm, Masks, Peeled
from experiments.membership.analysis import (
    NUM_BINS,
    accuracy_entry,
    attack_entries,
    nats_per_example,
    quantile_bins,
)
from experiments.membership.attacks import measures
from experiments.membership.defenses import most_disclosed
from experiments.membership.runs import SeedRun

Vector = Float[np.ndarray, " survivors"]


def analyze(plan: Plan, peeled: Peeled) -> Iterator[Entry]:
    """Everything that the report shows.

    Keys: scope, round, and arm: what was trained after. "audited" and "nothing" removed nothing,
    "nats" the most disclosed, "chance" as many at random. `pairs` says which pairs of model and
    example an attack is measured on: "survivors" stay in both arms, "all" counts removed examples
    as members, "left out" leaves them out.
    """
    yield accuracy_entry(peeled.again, arm="nothing")
    for scope in plan.scopes:
        for index in range(plan.options.rounds):
            yield from _of_round(peeled, scope, index, plan.options.fraction)


def _of_round(peeled: Peeled, scope: Scope, index: int, fraction: float) -> Iterator[Entry]:
    place: dict[str, Key] = {"scope": scope, "round": index + 1}
    by_nats, by_chance = (peeled.rounds[Arm(scope, by)][index] for by in ("nats", "chance"))
    removals = {"nats": by_nats, "chance": by_chance}
    arms = {"audited": peeled.audited, "nothing": peeled.again, **removals}
    stayed = [survivors(one) & survivors(other) for one, other in zip(by_nats, by_chance)]
    yield entry("removed_share", [run.removed[run.members].mean() for run in by_nats], **place)
    for arm, runs in arms.items():
        yield from attack_entries(runs, "lira", stayed, **place, pairs="survivors", arm=arm)
    for arm, runs in removals.items():
        yield accuracy_entry(runs, **place, arm=arm)
        yield from attack_entries(runs, "lira", **place, pairs="all", arm=arm)
        left = [survivors(run) for run in runs]
        yield from attack_entries(runs, "lira", left, **place, pairs="left out", arm=arm)
    for arm in ("nothing", "nats", "chance"):
        auc = _auc_by_decile(peeled.audited, arms[arm], stayed)
        for decile, values in enumerate(auc.T, start=1):
            yield entry("lira_auc", values, **place, arm=arm, decile=decile)
        yield from _uniqueness(scope, peeled.audited, arms[arm], stayed, fraction, place, arm)


def survivors(run: SeedRun) -> Bool[np.ndarray, "models examples"]:
    """The pairs of model and example that count after a removal, [M, N].

    A removed member takes the same example's non-member pair in the complementary model with it:
    every example then counts as often as a member as it counts as a non-member. Otherwise removed
    examples would stay among the non-members alone.
    """
    complement = np.roll(run.removed, len(run.removed) // 2, axis=0)
    return ~(run.removed | complement)


def _auc_by_decile(
    audited: Sequence[SeedRun], runs: Sequence[SeedRun], stayed: Masks
) -> Float[np.ndarray, "seeds deciles"]:
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
    return table


def _uniqueness(
    scope: Scope,
    audited: Sequence[SeedRun],
    runs: Sequence[SeedRun],
    stayed: Masks,
    fraction: float,
    place: Mapping[str, Key],
    arm: str,
) -> Iterator[Entry]:
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

    for name, unit, of_pair in (
        ("mean_nats_before", "nats", lambda before, after: before.mean()),
        ("mean_nats", "nats", lambda before, after: after.mean()),
        ("spearman", "", lambda *pair: stats.spearmanr(*pair).statistic),
        ("new_in_top", "", partial(new_in_top, fraction=fraction)),
    ):
        yield entry(name, averaged(of_pair), unit, **place, arm=arm)
    origin = averaged(partial(top_origin, fraction=fraction))
    for decile, share in enumerate(origin.T, start=1):
        yield entry("top_share", share, **place, arm=arm, decile=decile)


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

    As having most counts a share of `fraction` of the survivors.
    """
    bins = quantile_bins(before)[_top(after, fraction)]
    return np.bincount(bins, minlength=NUM_BINS) / len(bins)


def new_in_top(before: Vector, after: Vector, fraction: float) -> float:
    """Share of those with most nats now who were not among those with most before."""
    now = _top(after, fraction)
    return 1 - float(np.mean(_top(before, fraction)[now]))


def _top(nats: Vector, fraction: float) -> Bool[np.ndarray, " survivors"]:
    return most_disclosed(nats[None], np.ones((1, len(nats)), bool), fraction)[0]
