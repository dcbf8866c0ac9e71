"""A small comparison through the real command line."""

import json

import numpy as np
import polars as pl
import pytest

from experiments.framework.command_line import main
from experiments.framework.results import Results
from experiments.jobs.compare import Options
from experiments.membership.analysis import between
from experiments.membership.attacks import ATTACKS, measures
from gujax.attacks.membership import auc_of_examples, best_of_attacks
from tests.experiments.running import check_report, complete_run, results_of_run, run_of

SEEDS, MODELS, EXAMPLES = 2, 4, 200


run, test_the_run_is_complete = complete_run(
    f"compare --seeds {SEEDS} --shadow-models {MODELS} --train-size {EXAMPLES} --epochs 2 "
    f"--hidden 16 --defenses sgd clip censor:0.1 dp_sgd:8 --other-ridges 1 "
    f"--fronts early_stop:1 gate_norm:0.7@1",
    "claims.json",
    "scores.parquet",
    "per_example.parquet",
    "test_accuracy.parquet",
    "steps.parquet",
    "ridges.parquet",
)
with_canaries = run_of(
    f"compare --seeds {SEEDS} --shadow-models {MODELS} --train-size {EXAMPLES} --epochs 1 "
    f"--hidden 8 --defenses sgd --other-ridges 1 --fronts --canaries near_duplicates "
    f"--num-canaries 30 --canary-noise 0.3"
)


results = results_of_run()


def _matrix(frame, column):
    return frame.sort("model", "id")[column].to_numpy().reshape(MODELS, EXAMPLES)


def test_attack_measures_follow_from_the_score_table(run, results):
    scores = pl.read_parquet(run[0] / "scores.parquet")
    assert len(scores) == len(results.values("setting")) * SEEDS * MODELS * EXAMPLES
    for (label, seed), frame in scores.group_by("defense", "seed"):
        if label not in results.values("defense"):
            continue
        members = _matrix(frame, "member")
        assert members.sum() == MODELS * EXAMPLES / 2
        for attack in ATTACKS:
            for name, value in measures(_matrix(frame, attack), members).items():
                shown = results.get(name, defense=label, attack=attack)
                assert shown.values[seed] == pytest.approx(value, abs=1e-12)


def test_the_maximum_over_attacks_is_that_of_the_library(run, results):
    scores = pl.read_parquet(run[0] / "scores.parquet").filter(pl.col("defense") == "SGD")
    seeds = [scores.filter(pl.col("seed") == seed) for seed in range(SEEDS)]
    members = np.stack([_matrix(frame, "member") for frame in seeds])
    given = {a: np.stack([_matrix(frame, a) for frame in seeds]) for a in ATTACKS}
    expected = best_of_attacks(given, members, num_resamples=100)["tpr_at_fpr_1pct"]
    assert between(results.where(defense="SGD")) == pytest.approx(tuple(expected.reached))
    # On fronts, and where attacks are listed, the best is chosen on the other seed.
    found = [
        {a: measures(given[a][seed], members[seed])["tpr_at_1pct"] for a in ATTACKS}
        for seed in range(SEEDS)
    ]
    expected = [
        found[seed][max(found[1 - seed], key=found[1 - seed].__getitem__)] for seed in range(SEEDS)
    ]
    assert list(results.get("found", setting="SGD").values) == expected
    best = results.get("tpr_at_1pct", defense="SGD", attack="best")
    assert list(best.values) == expected


def test_fronts_hold_every_setting_against_the_other_families(run, results):
    assert results.values("setting") == [
        *("SGD", "clip 0.01", "censor 10 %", "DP-SGD ε=8"),
        *("early stop 1", "gate by norm q=0.7, 1 epoch"),
    ]
    families = ["early stopping", "clip", "censor", "DP-SGD", "gate by norm"]
    assert results.values("front") == families
    page = (run[0] / "report.html").read_text()
    for name in families:
        assert f"<li>{name}:" in page
    steps = pl.read_parquet(run[0] / "steps.parquet")
    epochs = dict(steps.group_by("defense").agg(pl.col("epoch").max() + 1).iter_rows())
    assert (epochs["SGD"], epochs["early stop 1"], epochs["gate by norm q=0.7, 1 epoch"]) == (
        2,
        1,
        1,
    )


def test_the_checklist_is_filled_from_the_run(run, results):
    page = (run[0] / "report.html").read_text()
    for asked in ("threat model", "tuning budget", "who is worst off", "canaries", "time"):
        assert asked in page
    worst = results.get("worst_class_found", defense="SGD")
    assert f"{100 * worst.mean:.1f} ±" in page


def test_canaries_are_reported_apart(with_canaries):
    out, _ = with_canaries
    results = Results.read(out / "results.parquet")
    per_example = pl.read_parquet(out / "per_example.parquet").filter(pl.col("seed") == 0)
    canary = per_example["canary"].to_numpy()
    assert (len(canary), canary.sum()) == (EXAMPLES + 60, 90)  # 30, with two copies each
    scores = pl.read_parquet(out / "scores.parquet")
    for seed in range(SEEDS):
        frame = scores.filter(pl.col("seed") == seed).sort("model", "id")
        members = frame["member"].to_numpy().reshape(MODELS, -1)
        lira = frame["lira"].to_numpy().reshape(MODELS, -1)
        expected = measures(lira[:, ~canary], members[:, ~canary])["auc"]
        shown = results.get("auc", defense="SGD", attack="lira").values[seed]
        assert shown == pytest.approx(expected)
        # A canary and its copies are together in every training set.
        assert (members[:, EXAMPLES:][:, ::2] == members[:, EXAMPLES:][:, 1::2]).all()
        assert (members.sum(axis=0) == MODELS // 2).all()
    assert 0 <= results.get("best_tpr_at_1pct", defense="SGD", examples="canaries").mean <= 1
    # Of the only setting: what it gives away at the accuracy that it keeps.
    (front,) = results.values("front")
    at = min(results.values("accuracy"))
    kept = results.get("canary_front", front=front, accuracy=at).values
    np.testing.assert_array_equal(kept, results.get("canaries_found", setting="SGD").values)
    page = (out / "report.html").read_text()
    assert "Canaries found at 1 % false positives while an accuracy is kept" in page
    assert "30 mislabelled, with copies 0.3 standard deviations away; of them" in page


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--canaries mislabelled --num-canaries 300", "300 are more than half of the 200"),
        ("--num-canaries 30", "--num-canaries 30 of which kind? Choose --canaries mislabelled"),
        ("--canaries mislabelled --canary-noise 0.5", "--canary-noise 0.5 is of copies: choose"),
        ("--fronts gate:2", "the strength of the defense 'gate:2' must be above 0"),
        ("--fronts gate:0.5@0", "'gate:0.5@0' must have a whole number of epochs"),
        ("--fronts early_stop:2@3", "and none where they are the strength"),
        ("--fronts early_stop:2.5", "'early_stop:2.5' must be a whole number from 1 on"),
        ("--fronts nothing:1", "unknown defense 'nothing'"),
        ("--fronts out_of_fold:0.1 --train-size 120", "so few members that a teacher would see"),
        ("--fronts out_of_fold:0.1 --train-size 3", "folds=2 are more than the 1 members"),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(tmp_path, capsys, arguments, says):
    out = tmp_path / "run"
    given = f"compare --train-size {EXAMPLES} --shadow-models 4 {arguments} --out {out}"
    assert main(given.split()) == 2
    assert says in capsys.readouterr().err.replace("\n", " ")
    assert not out.exists()


def test_the_summary_holds_means_and_intervals_of_the_table(run, results):
    summary = json.loads((run[0] / "summary.json").read_text())
    for label in results.values("defense"):
        auc = summary[label]["lira"]["auc"]
        measured = results.get("auc", defense=label, attack="lira")
        assert auc["per_seed"] == measured.values.tolist()
        assert auc["mean"] == pytest.approx(np.mean(measured.values))
        found = summary["headline"][f"{label}, LiRA TPR at 1 % FPR"]
        assert found == summary[label]["lira"]["tpr_at_1pct"]
        assert summary["headline"][f"{label}, test accuracy"] == summary[label]["test_accuracy"]


def test_the_per_example_table_follows_from_the_score_table(run):
    per_example = pl.read_parquet(run[0] / "per_example.parquet")
    scores = pl.read_parquet(run[0] / "scores.parquet")
    means = (
        scores.filter("member")
        .group_by("defense", "seed", "id")
        .agg(pl.col("nats").mean(), (pl.col("mu") ** 2).mean().sqrt(), pl.col("removed").mean())
    )
    joined = per_example.join(means, on=["defense", "seed", "id"], suffix="_expected")
    assert len(joined) == len(per_example)
    for column, expected in (
        ("nats", "nats_expected"),
        ("mu", "mu_expected"),
        ("removed_share", "removed"),
    ):
        # The tables hold float32.
        np.testing.assert_allclose(joined[column], joined[expected], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        joined["accumulated_gnq"], joined["mu"] ** 2 * 0.25, rtol=1e-5, atol=1e-6
    )
    first = scores.filter((pl.col("defense") == "SGD") & (pl.col("seed") == 0))
    auc = auc_of_examples(_matrix(first, "margin"), _matrix(first, "member"))
    shown = per_example.filter((pl.col("defense") == "SGD") & (pl.col("seed") == 0)).sort("id")
    np.testing.assert_allclose(shown["attack_auc"], auc)


def test_accuracies_follow_from_the_table_of_classes(run, results):
    table = pl.read_parquet(run[0] / "test_accuracy.parquet")
    for (label, seed), frame in table.group_by("defense", "seed"):
        row = results.where(setting=label)
        overall = frame["correct"].sum() / frame["examples"].sum()
        assert row.get("test_accuracy").values[seed] == pytest.approx(overall)
        by_class = frame.group_by("class").agg(pl.col("correct").sum(), pl.col("examples").sum())
        if label not in results.values("defense"):
            continue
        row = results.where(defense=label)
        worst = (by_class["correct"] / by_class["examples"]).min()
        assert row.get("worst_class_accuracy").values[seed] == pytest.approx(worst)


def test_censored_points_are_members_that_were_not_trained_on(run, results):
    scores = pl.read_parquet(run[0] / "scores.parquet")
    removed = scores.filter("removed")
    assert removed["defense"].unique().to_list() == ["censor 10 %"]
    assert removed["member"].all()
    assert (removed["nats"] == 0).all()
    assert len(removed) == SEEDS * MODELS * EXAMPLES / 2 * 0.1
    # They are those with most nats in the plain run.
    plain = scores.filter((pl.col("defense") == "SGD") & pl.col("member"))
    joined = plain.join(
        removed.select("seed", "model", "id", "removed"), on=["seed", "model", "id"], how="left"
    )
    for _, frame in joined.group_by("seed", "model"):
        is_removed = frame["removed_right"].fill_null(False)
        assert frame.filter(is_removed)["nats"].min() >= frame.filter(~is_removed)["nats"].max()
    for seed in range(SEEDS):
        left = ~_matrix(removed_of(scores, seed), "removed")
        for whose, label in (("own", "censor 10 %"), ("SGD", "SGD")):
            frame = scores.filter((pl.col("defense") == label) & (pl.col("seed") == seed))
            expected = measures(_matrix(frame, "lira"), _matrix(frame, "member"), left)["auc"]
            keys = {"defense": "censor 10 %", "attack": "lira", "kept": whose}
            assert results.get("auc", **keys).values[seed] == pytest.approx(expected)


def removed_of(scores, seed):
    return scores.filter((pl.col("defense") == "censor 10 %") & (pl.col("seed") == seed))


def test_a_larger_ridge_discloses_less_of_the_same_models(run):
    ridges = pl.read_parquet(run[0] / "ridges.parquet").filter("member")
    small = ridges.filter(pl.col("relative_ridge") == 0.1).sort("model", "id")
    large = ridges.filter(pl.col("relative_ridge") == 1.0).sort("model", "id")
    assert len(small) == len(large) == MODELS * EXAMPLES / 2
    assert (large["nats"] < small["nats"]).all()
    assert (large["mu"] < small["mu"]).all()


def test_dp_sgd_states_its_guarantee(results):
    privacy = results.where(defense="DP-SGD ε=8")
    assert privacy.get("epsilon").mean <= 8
    assert privacy.get("epsilon").mean == pytest.approx(8, rel=0.02)
    assert privacy.get("delta").mean == 1e-5
    assert 0 < privacy.get("sampling_rate").mean <= 1
    assert results.find("epsilon", defense="SGD") is None


def shown_accuracy(results, label):
    return f"{100 * results.get('test_accuracy', defense=label).mean:.1f} ±"


def test_the_report_loads_nothing_and_shows_the_numbers(run, results):
    page = check_report(run, images=6)
    for label in results.values("defense"):
        assert label in page
        assert shown_accuracy(results, label) in page


def test_the_terminal_shows_the_table_and_where_the_report_is(run, results):
    out, text = run
    assert str(out / "report.html") in text
    for label in results.values("defense"):
        (row,) = [line for line in text.splitlines() if line.strip().startswith(label)][:1]
        assert shown_accuracy(results, label) in row


def test_several_data_sets_are_runs_of_their_own():
    assert [one.dataset for one in Options(dataset="digits,adult").of_each_dataset] == [
        "digits",
        "adult",
    ]
    *_, photographs = Options(dataset="all").of_each_dataset
    assert (photographs.dataset, photographs.model) == ("cifar10_jpeg", "convnet")
    assert (photographs.channels, photographs.train_size) == ((8, 16), 4000)
    one = Options(train_size=100)
    assert one.of_each_dataset == [one]


def test_points_of_fronts_are_settings_at_each_number_of_epochs():
    given = Options(fronts=("early_stop:3", "gate:0.7", "clip:1@4"), front_epochs=(2, 5))
    points = [(one.family, one.strength, one.passes) for one in given.on_fronts]
    assert points == [
        ("early_stop", 3.0, 3),
        ("gate", 0.7, 2),
        ("gate", 0.7, 5),
        ("clip", 1.0, 4),
    ]
    assert len({one.label for one in given.on_fronts}) == 4
    assert not Options(fronts=("sgd@5",), defenses=("sgd@5",)).on_fronts


def test_what_one_run_predicts_stands_beside_what_the_best_attack_finds(run, results):
    tables = (run[0] / "tables.md").read_text()
    (main,) = [part for part in tables.split("**") if "predicted from one run | TPR@0.1" in part]
    (censored,) = [line for line in main.splitlines() if line.startswith("| censor 10 %")]
    assert "| removed members |" in censored
    assert np.isnan(results.get("one_run_auc", defense="censor 10 %").values).all()
    assert len(results.get("one_run_seconds", defense="SGD").values) == SEEDS
    assert "censor 10 %: examples that were removed before training count as members" in tables
