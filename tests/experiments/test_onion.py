"""The onion: rounds and numbers on made-up runs, and a small study through the command line."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from experiments.framework.results import Results, entry
from experiments.framework.run_directory import is_complete
from experiments.jobs.onion.analysis import new_in_top, survivors, top_origin
from experiments.jobs.onion.claims import claims
from experiments.jobs.onion.rounds import Arm, halves_of_pool, next_layer
from experiments.membership.runs import SeedRun
from tests.experiments.running import check_report, mistakes_of, run_of

SEEDS, MODELS, EXAMPLES = 2, 4, 120


def made_up(num_models, num_examples, seed=0):
    """A run of models that were never trained."""
    rng = np.random.default_rng(seed)
    halves = np.argsort(rng.random((num_models // 2, num_examples))) < num_examples // 2
    members = np.concatenate([halves, ~halves])
    nats = rng.random(members.shape)
    rest = dict.fromkeys(("mu", "appearances", "steps", "outputs"))
    return SeedRun(members=members, removed=np.zeros_like(members), nats=nats, **rest)


def peel_by_hand(arm, run, rounds, fraction):
    for number in range(rounds):
        layer = next_layer(arm, run, fraction, (0, number))
        yield run, layer
        run = run._replace(removed=run.removed | layer)


@settings(deadline=None, max_examples=40)
@given(
    num_models=st.sampled_from([4, 6]),
    num_examples=st.integers(8, 40),
    fraction=st.floats(0.05, 0.4),
    by=st.sampled_from(["nats", "chance"]),
)
def test_a_training_set_loses_its_share_of_what_is_left(num_models, num_examples, fraction, by):
    for run, layer in peel_by_hand(
        Arm("model", by), made_up(num_models, num_examples), 3, fraction
    ):
        left = run.members & ~run.removed
        assert (layer <= left).all()
        for gone, rest, nats in zip(layer, left & ~layer, run.nats):
            assert gone.sum() == np.ceil(fraction * (gone.sum() + rest.sum()))
            if by == "nats" and rest.any():
                assert nats[gone].min() >= nats[rest].max()


@settings(deadline=None, max_examples=40)
@given(num_examples=st.integers(8, 40), fraction=st.floats(0.05, 0.4))
def test_the_pool_loses_those_with_most_nats_over_all_models(num_examples, fraction):
    for run, layer in peel_by_hand(Arm("data", "nats"), made_up(4, num_examples), 3, fraction):
        assert (layer == layer[0]).all()
        in_pool = ~run.removed[0]
        assert layer[0].sum() == np.ceil(fraction * in_pool.sum())
        means = np.array([run.nats[run.members[:, j], j].mean() for j in range(num_examples)])
        stay = in_pool & ~layer[0]
        assert not stay.any() or means[layer[0]].min() >= means[stay].max()


@pytest.mark.parametrize("scope", ["model", "data"])
def test_chance_removes_as_many_and_others(scope):
    run = made_up(4, 200)
    by_nats, by_chance = (next_layer(Arm(scope, by), run, 0.1, (0, 1)) for by in ("nats", "chance"))
    kind = run.members if scope == "model" else np.ones_like(run.members)
    assert ((by_nats & kind).sum(axis=1) == (by_chance & kind).sum(axis=1)).all()
    assert (by_nats != by_chance).any()
    again = next_layer(Arm(scope, "chance"), run, 0.1, (0, 1))
    np.testing.assert_array_equal(again, by_chance)


@pytest.mark.parametrize("scope", ["model", "data"])
def test_survivors_are_members_as_often_as_they_are_not(scope):
    run = made_up(6, 60)
    run = run._replace(removed=next_layer(Arm(scope, "nats"), run, 0.2, ()))
    stayed = survivors(run)
    assert not (stayed & run.removed).any()
    np.testing.assert_array_equal(
        (stayed & run.members).sum(axis=0), (stayed & ~run.members).sum(axis=0)
    )
    # Only removed pairs and their counterparts are lost.
    assert (~stayed).sum() == (2 * run.removed.sum() if scope == "model" else run.removed.sum())


def test_new_halves_of_the_pool_leave_the_rest_as_it_was():
    run = made_up(6, 61)
    pool = np.arange(61) % 3 > 0
    drawn = halves_of_pool(run.members, pool, jax.random.key(1))
    np.testing.assert_array_equal(drawn[:, ~pool], run.members[:, ~pool])
    assert (drawn[:, pool] != run.members[:, pool]).any()
    np.testing.assert_array_equal(drawn[:3], ~drawn[3:])
    assert set(drawn[:, pool].sum(axis=1).tolist()) == {pool.sum() // 2, -(-pool.sum() // 2)}


def test_the_new_top_is_found_where_it_was_put():
    before = np.arange(100.0)
    assert new_in_top(before, before, 0.1) == 0
    np.testing.assert_array_equal(top_origin(before, before, 0.1), np.eye(10)[9])
    # The ten of the fourth decile now have most; five of them share the top with five of the last.
    after = before.copy()
    after[30:35] = 1000
    after[90:95] = 0
    assert new_in_top(before, after, 0.1) == 0.5
    np.testing.assert_allclose(top_origin(before, after, 0.1), np.eye(10)[[3, 9]].mean(axis=0))


@pytest.mark.parametrize(
    ("rise", "against_chance", "onion", "protects"),
    [
        (0.1, 0.05, "reproduced", "contradicted"),
        (-0.1, -0.05, "contradicted", "reproduced"),
        (0.1, 0.0, "partly", "contradicted"),
        (0.1, -0.05, "contradicted", "contradicted"),
        (0.0, 0.0, "not told apart", "not told apart"),
    ],
)
def test_verdicts_follow_the_stated_rule(rise, against_chance, onion, protects):
    noise = np.array([-0.001, 0.0, 0.001])
    place = {"scope": "data", "round": 2}

    def of_arm(arm, exposure, new, nats):
        for measure in ("auc", "tpr_at_1pct"):
            yield entry(measure, exposure, **place, pairs="survivors", arm=arm)
        yield entry("new_in_top", new, **place, arm=arm)
        yield entry("mean_nats", nats, "nats", **place, arm=arm)

    results = Results(
        [
            entry("removed_share", [0.1] * 3, **place),
            *of_arm("nats", 0.6 + noise, 0.5 + noise, noise),
            *of_arm("nothing", [0.6 - rise] * 3, [0.3] * 3, noise),
            *of_arm("chance", [0.6 - against_chance] * 3, [0.6] * 3, noise),
        ]
    )
    plan = SimpleNamespace(scopes=("data",), options=SimpleNamespace(rounds=2))
    found = {claim.key: claim for claim in claims(plan, results)}
    assert found["onion_data"].verdict == onion
    assert found["protects_data"].verdict == protects
    # More are new than with nothing removed, fewer than after random removal.
    assert found["new_layer_data"].verdict == "contradicted"
    assert "+0.100 ± 0.002 against before" in found["onion_data"].measured or rise != 0.1


study = run_of(
    f"onion --seeds {SEEDS} --shadow-models {MODELS} --train-size {EXAMPLES} --epochs 2 "
    f"--hidden 8 --rounds 1 --fraction 0.2 --scopes model"
)


def _matrix(frame, label, seed, column):
    chosen = frame.filter((pl.col("defense") == label) & (pl.col("seed") == seed))
    return chosen.sort("model", "id")[column].to_numpy().reshape(MODELS, EXAMPLES)


BY_NATS, BY_CHANCE = (
    f"{name}, from each training set, round 1" for name in ("most disclosed", "random")
)


def test_the_study_removes_what_was_disclosed_most_and_trains_the_rest_again(study):
    scores = pl.read_parquet(study[0] / "scores.parquet")
    for seed in range(SEEDS):
        members = _matrix(scores, "audited first", seed, "member")
        nats = _matrix(scores, "audited first", seed, "nats")
        removed = _matrix(scores, BY_NATS, seed, "removed")
        assert (removed.sum(axis=1) == EXAMPLES / 2 * 0.2).all()
        assert (_matrix(scores, BY_CHANCE, seed, "removed").sum(axis=1) == 12).all()
        for row in range(MODELS):
            kept = members[row] & ~removed[row]
            assert nats[row][removed[row]].min() >= nats[row][kept].max()
        after = _matrix(scores, BY_NATS, seed, "nats")
        assert (after[removed] == 0).all()
        assert (after[members & ~removed] > 0).all()
        again = _matrix(scores, "trained again", seed, "nats")
        assert not np.allclose(again[members], nats[members])


def test_the_numbers_follow_from_the_table_of_scores(study):
    scores = pl.read_parquet(study[0] / "scores.parquet")
    results = Results.read(study[0] / "results.parquet")
    last = results.where(scope="model", round=1)
    auc_of = last.where(pairs="survivors")
    for seed in range(SEEDS):
        members = _matrix(scores, BY_NATS, seed, "member")
        stayed = np.ones_like(members)
        for label in (BY_NATS, BY_CHANCE):
            gone = _matrix(scores, label, seed, "removed")
            stayed &= ~gone & ~np.concatenate([gone[MODELS // 2 :], gone[: MODELS // 2]])
        auc = {
            label: roc_auc_score(members[stayed], _matrix(scores, label, seed, "lira")[stayed])
            for label in ("audited first", "trained again", BY_NATS, BY_CHANCE)
        }
        for arm, label in (
            ("nothing", "trained again"),
            ("audited", "audited first"),
            ("nats", BY_NATS),
            ("chance", BY_CHANCE),
        ):
            assert auc_of.get("auc", arm=arm).values[seed] == pytest.approx(auc[label])
        risen = auc_of.get("auc", arm="nats") - auc_of.get("auc", arm="nothing")
        assert risen.values[seed] == pytest.approx(auc[BY_NATS] - auc["trained again"])
        first, now = (_matrix(scores, label, seed, "nats") for label in ("audited first", BY_NATS))
        rows = members & stayed
        spearman = [stats.spearmanr(a[r], b[r]).statistic for a, b, r in zip(first, now, rows)]
        shown = last.get("spearman", arm="nats").values[seed]
        assert shown == pytest.approx(np.mean(spearman))
        total = roc_auc_score(members.ravel(), _matrix(scores, BY_NATS, seed, "lira").ravel())
        counted = last.get("auc", pairs="all", arm="nats").values[seed]
        assert counted == pytest.approx(total)
    summary = json.loads((study[0] / "summary.json").read_text())
    shown = summary["model"]["1"]["survivors"]["nats"]["auc"]
    assert shown["per_seed"] == auc_of.get("auc", arm="nats").values.tolist()
    assert shown["mean"] == pytest.approx(np.mean(shown["per_seed"]))


def test_the_run_is_complete_and_says_what_it_found(study):
    assert is_complete(study[0])
    check_report(study, images=3)
    found = json.loads((study[0] / "claims.json").read_text())
    assert [claim["key"] for claim in found] == ["onion_model", "new_layer_model", "protects_model"]


test_wrong_options_are_told_in_one_line = mistakes_of(
    "onion",
    [
        ("--rounds 0", "--rounds 0 must be at least 1"),
        ("--fraction 1", "--fraction 1.0 must be between 0 and 1"),
        ("--fraction 0.5 --rounds 3", "leave less than a fifth of the examples"),
        ("--shadow-models 5", "--shadow-models 5 must be even and at least 4"),
        ("--seeds 0", "--seeds 0 must be at least 1"),
        ("--epochs 0", "--epochs 0 must be at least 1"),
        ("--relative-ridge 0", "--relative-ridge 0.0 must be positive"),
        ("--train-size 99999", "train_size=99999 but 'digits' has 1437"),
    ],
)
