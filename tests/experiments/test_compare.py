"""A small comparison through the real command line."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from experiments.framework.run_directory import is_complete
from experiments.membership.attacks import auc_per_example, measures

SEEDS, MODELS, EXAMPLES = 2, 4, 200


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("compare") / "run"
    command = (
        f"compare --seeds {SEEDS} --shadow-models {MODELS} --train-size {EXAMPLES} --epochs 2 "
        f"--hidden 16 --defenses sgd clip censor dp_sgd --censor-fractions 0.1 --epsilons 8 "
        "--other-ridges 1 "
        f"--out {out}"
    )
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *command.split()],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "160"},
    )
    assert done.returncode == 0, done.stderr
    return out, done.stdout


@pytest.fixture(scope="module")
def summary(run):
    return json.loads((run[0] / "summary.json").read_text())["defenses"]


def _matrix(frame, column):
    return frame.sort("model", "id")[column].to_numpy().reshape(MODELS, EXAMPLES)


def test_the_run_is_complete_and_has_every_file(run):
    out, _ = run
    assert is_complete(out)
    assert {path.name for path in out.iterdir()} == {
        "config.json",
        "status.json",
        "summary.json",
        "report.html",
        "scores.parquet",
        "per_example.parquet",
        "test_accuracy.parquet",
        "steps.parquet",
        "ridges.parquet",
        "figures",
    }


def test_attack_measures_follow_from_the_score_table(run, summary):
    scores = pl.read_parquet(run[0] / "scores.parquet")
    assert len(scores) == len(summary) * SEEDS * MODELS * EXAMPLES
    for (label, seed), frame in scores.group_by("defense", "seed"):
        members = _matrix(frame, "member")
        assert members.sum() == MODELS * EXAMPLES / 2
        for attack in ("lira", "rmia", "loss"):
            expected = measures(_matrix(frame, attack), members)
            for name, of_measure in summary[label]["attacks"][attack].items():
                assert of_measure["per_seed"][seed] == pytest.approx(expected[name], abs=1e-12)
    for entry in summary.values():
        auc = entry["attacks"]["lira"]["auc"]
        assert auc["mean"] == pytest.approx(np.mean(auc["per_seed"]))


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
    auc = auc_per_example(_matrix(first, "lira"), _matrix(first, "member"))
    shown = per_example.filter((pl.col("defense") == "SGD") & (pl.col("seed") == 0)).sort("id")
    np.testing.assert_allclose(shown["attack_auc"], auc)


def test_accuracies_follow_from_the_table_of_classes(run, summary):
    table = pl.read_parquet(run[0] / "test_accuracy.parquet")
    for (label, seed), frame in table.group_by("defense", "seed"):
        entry = summary[label]
        overall = frame["correct"].sum() / frame["examples"].sum()
        assert entry["test_accuracy"]["per_seed"][seed] == pytest.approx(overall)
        by_class = frame.group_by("class").agg(pl.col("correct").sum(), pl.col("examples").sum())
        worst = (by_class["correct"] / by_class["examples"]).min()
        assert entry["worst_class_accuracy"]["per_seed"][seed] == pytest.approx(worst)


def test_censored_points_are_members_that_were_not_trained_on(run, summary):
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
    kept = summary["censor 10 %"]["kept"]["auc"]
    assert kept["per_seed"] != summary["censor 10 %"]["attacks"]["lira"]["auc"]["per_seed"]


def test_a_larger_ridge_discloses_less_of_the_same_models(run):
    ridges = pl.read_parquet(run[0] / "ridges.parquet").filter("member")
    small = ridges.filter(pl.col("relative_ridge") == 0.1).sort("model", "id")
    large = ridges.filter(pl.col("relative_ridge") == 1.0).sort("model", "id")
    assert len(small) == len(large) == MODELS * EXAMPLES / 2
    assert (large["nats"] < small["nats"]).all()
    assert (large["mu"] < small["mu"]).all()


def test_dp_sgd_states_its_guarantee(summary):
    privacy = summary["DP-SGD ε=8"]["privacy"]
    assert privacy["epsilon"] <= 8
    assert privacy["epsilon"] == pytest.approx(8, rel=0.02)
    assert privacy["delta"] == 1e-5
    assert 0 < privacy["sampling_rate"] <= 1
    assert summary["SGD"]["privacy"] is None


def test_the_report_loads_nothing_and_shows_the_numbers(run, summary):
    page = (run[0] / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,20})', page)
    assert len(sources) == 5
    assert all(source.startswith("data:image/svg+xml;") for source in sources)
    assert "<script" not in page
    for label, entry in summary.items():
        assert label in page
        assert f"{100 * entry['test_accuracy']['mean']:.1f} ±" in page


def test_the_terminal_shows_the_table_and_where_the_report_is(run, summary):
    out, text = run
    assert str(out / "report.html") in text
    for label, entry in summary.items():
        (row,) = [line for line in text.splitlines() if line.strip().startswith(label)][:1]
        assert f"{100 * entry['test_accuracy']['mean']:.1f} ±" in row
