"""The study of predicted attacks: its parts on made-up runs, and a small one by its command."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import polars as pl
import pytest
from scipy import stats

import gujax
from experiments.framework.errors import UserError
from experiments.framework.results import Results, entry
from experiments.jobs import prediction
from experiments.jobs.prediction.analysis import (
    exposures,
    of_setting,
    references,
    tail,
    with_perfect_knowledge,
)
from experiments.jobs.prediction.claims import RIVALS, claims, share
from experiments.jobs.prediction.measure import Run, measured_shift
from experiments.jobs.prediction.predicting import Gradients, Predicted, Publisher, reruns
from experiments.jobs.prediction.report import rivals_table
from experiments.jobs.prediction.settings import DEFAULT, SETTINGS
from experiments.jobs.prediction.training import Tracked, load
from gujax.assessment import signal_of_one
from tests.experiments.running import complete_run

MODELS, TARGETS, EXAMPLES = 16, 2, 100


run, test_the_run_is_complete = complete_run(
    f"prediction --settings cancer-smoothing --models {MODELS} --targets {TARGETS} "
    f"--train-size {EXAMPLES} --epochs 3 --resamples 5",
    "claims.json",
    "targets.parquet",
    "examples.parquet",
    images=1,
)


def test_the_numbers_follow_from_the_table_of_examples(run):
    out, _ = run
    results = Results.read(out / "results.parquet").where(setting="cancer-smoothing", role="judged")
    examples = pl.read_parquet(out / "examples.parquet")
    targets = pl.read_parquet(out / "targets.parquet")
    assert len(targets) == TARGETS
    assert len(examples) == TARGETS * EXAMPLES
    for index, target in enumerate(targets["target"]):
        members = examples.filter((pl.col("target") == target) & pl.col("member"))
        assert len(members) == EXAMPLES / 2
        for method, column in (("gradient norm", "gradient_norm"), ("nats", "nats")):
            # Label smoothing moves signals both ways: the size tells who is exposed.
            expected = stats.spearmanr(members[column], members["measured_shift"].abs()).statistic
            found = results.get("spearman", method=method).values[index]
            assert found == pytest.approx(expected)
    refused = results.get("refused", method="prediction").values
    np.testing.assert_array_equal(refused, targets["refusal"] != "")


def test_claims_are_about_judged_settings(run):
    found = json.loads((run[0] / "claims.json").read_text())
    assert [claim["key"] for claim in found] == ["level", "everywhere", "low_fpr", "ranking"]
    assert "of 1 judged settings refused" in found[0]["measured"]


def made_up(shift, seed=0, models=64, examples=500):
    """A run whose signals are exactly Gaussian; shift [N], deviation 1."""
    rng = np.random.default_rng(seed)
    halves = np.argsort(rng.random((models // 2, examples))) < examples // 2
    members = np.concatenate([halves, ~halves])
    phi = rng.normal(size=examples) + members * shift + rng.normal(size=members.shape)
    pairs = reruns(models, 2, 1)
    known = gujax.predict_attack(shift, 1.0)
    level = np.array([[value] * 3 for value in (known.auc, *known.tpr(np.array([0.01, 0.001])))])
    each = np.ones(2)
    return Run(
        members,
        phi,
        rng.normal(size=(models, 50)),
        np.full(models, 0.9),
        2.0,
        pairs,
        Predicted(
            np.stack([shift] * 2),
            np.stack([level] * 2),
            each,
            each,
            each,
            np.full((2, 3), 0.5),
            np.array(["", ""]),
            np.array(["", ""]),
            each,
        ),
        Gradients(
            *[np.stack([-shift] * 2), each, np.stack([shift] * 2), each],
            np.stack([shift] * 2),
            each,
        ),
        Tracked(np.stack([shift] * 2), np.stack([shift] * 2), 1.0),
    )


def test_a_perfect_prediction_is_found_to_be_one():
    shift = np.random.default_rng(1).lognormal(-0.5, 1, 500)
    results = Results(of_setting(made_up(shift), {"setting": "s", "role": "judged"}, False))
    found = results.where(setting="s", role="judged")
    predicted = found.get("auc", method="prediction").mean
    # LiRA with 63 shadow models loses a little to what is known exactly.
    assert -0.02 < found.get("auc", method="LiRA").mean - predicted < 0.01
    assert found.get("auc", method="measured d and s").mean == pytest.approx(predicted, abs=0.01)
    assert found.get("deviation", method="measured").mean == pytest.approx(1, abs=0.02)
    assert found.get("shift", method="measured").mean == pytest.approx(shift.mean(), abs=0.05)
    best = found.get("spearman", method="prediction")
    assert best.mean > 0.75
    np.testing.assert_allclose(found.get("spearman", method="gradient norm").values, -best.values)
    assert found.get("top_1pct", method="prediction").mean >= 0.5
    assert best.mean > found.get("spearman", method="LiRA, 4").mean
    assert (
        found.get("spearman", method="LiRA, 4").mean > found.get("spearman", method="LiRA, 1").mean
    )
    assert found.get("seconds", method="prediction").mean == 3  # a training of 2, a second more
    assert found.get("trainings", method="LiRA").mean == 63


def test_no_exposure_is_not_made_up_from_noise():
    quiet = made_up(np.zeros(500), models=32)
    auc, tpr, _ = with_perfect_knowledge(quiet.phi, quiet.members)
    assert auc < 0.53
    assert tpr < 0.015


def test_measured_shifts_know_nothing_of_the_target():
    run = made_up(np.ones(500))
    before = [measured_shift(run, index) for index in range(2)]
    run.phi[run.targets[0]] += 100
    np.testing.assert_array_equal(measured_shift(run, 0), before[0])
    assert not np.allclose(measured_shift(run, 1), before[1])


def test_targets_reruns_and_references_are_different_models():
    run = made_up(np.ones(500), models=16)
    pairs = run.targets
    assert len(np.unique(pairs)) == pairs.size
    assert pairs.max() < 8
    for index, pair in enumerate(pairs):
        chosen = references(run, index, 4)
        assert not set(chosen) & {*pair, *(pair + 8)}
        np.testing.assert_array_equal(references(run, index, 2), chosen[:2])


def test_no_model_serves_two_targets():
    targets = reruns(32, 4, 3)
    assert targets.shape == (4, 4)
    assert targets[:, 0].tolist() == [0, 1, 2, 3]
    assert sorted(targets.reshape(-1)) == list(range(16))


def test_references_that_never_saw_an_example_are_used():
    run = made_up(np.ones(500))
    target = run.targets[0, 0]
    (one,) = references(run, 0, 1)
    expected = run.phi[target] - run.phi[one]
    np.testing.assert_allclose(exposures(run, 0)["LiRA, 1"], expected)


def test_the_tail_of_the_losses_by_its_definition():
    run = made_up(np.ones(500))
    target = run.targets[1, 0]
    loss, inside = np.logaddexp(0, -run.phi[target]), run.members[target]
    few = np.sort(loss[inside])[::-1][25:26]  # all but a tenth of 250 members are below
    expected = np.mean(loss[~inside] > few)
    assert tail(run, 1, 0.1) == pytest.approx(expected, abs=1 / 250)


def test_the_gram_matrix_of_the_last_layer_is_that_of_its_gradients():
    trainer = load(SETTINGS["digits-convnet"], 80, 1)
    publisher = Publisher(trainer)
    params = trainer.task.model.init(jax.random.key(0))
    examples = trainer.pool.x, trainer.pool.y
    grads = jax.vmap(jax.grad(signal_of_one(trainer.task.model.apply)), (None, 0))(params, examples)
    rows = [leaf.reshape(80, -1) for leaf in jax.tree.leaves(grads["head"])]
    expected = np.concatenate(rows, axis=1)
    found = publisher._last_layer_gram(params)
    np.testing.assert_allclose(found, expected @ expected.T, rtol=1e-4, atol=1e-4)


def results_of(errors, ratio=1.0, rank=0.1, refused=0):
    """One judged setting per error of the AUC; the last ones are refused."""
    noise = np.array([-0.001, 0.0, 0.001])
    for index, error in enumerate(errors):
        place = {"setting": f"s{index}", "role": "judged"}
        gone = index >= len(errors) - refused
        predicted = np.full(3, np.nan) if gone else 0.7 + error + noise
        yield entry("refused", np.full(3, gone), **place, method="prediction")
        yield entry("auc", predicted, **place, method="prediction")
        yield entry("auc", 0.7 + noise, **place, method="LiRA")
        yield entry("tpr_at_1pct", 0.1 * ratio + 0 * predicted, **place, method="prediction")
        yield entry("tpr_at_1pct", 0.1, **place, method="measured d and s")
        for method in ("prediction", *RIVALS):
            found = 0.5 + (rank if method == "prediction" else 0) + noise
            for measure in ("spearman", "top_1pct", "top_5pct"):
                yield entry(measure, found, **place, method=method)
            yield entry("trainings", 1, **place, method=method)
            yield entry("seconds", 2, "s", **place, method=method)


@pytest.mark.parametrize(
    ("made", "verdicts"),
    [
        (results_of([0.01] * 20), ["reproduced"] * 4),
        (results_of([0.01] * 20, refused=2), ["partly", "reproduced", "partly", "reproduced"]),
        (results_of([0.01] * 20, refused=8), ["contradicted", "reproduced"] * 2),
        (results_of([0.1] * 20, ratio=2, rank=-0.1), ["contradicted"] * 4),
        (results_of([0.01] * 4), ["not told apart", "reproduced", "not told apart", "reproduced"]),
        (results_of([0.01] * 2, refused=2), ["not tested at this scale"] * 4),
        ([], ["not tested at this scale"] * 4),
    ],
)
def test_verdicts_follow_the_stated_rule(made, verdicts):
    found = claims(SimpleNamespace(), Results(made))
    assert [claim.verdict for claim in found] == verdicts


def test_development_settings_judge_nothing():
    results = Results(
        one._replace(keys={**one.keys, "role": "development"}) for one in results_of([0.5] * 20)
    )
    assert {c.verdict for c in claims(SimpleNamespace(), results)} == {"not tested at this scale"}


def test_a_share_of_settings_has_wilsons_interval():
    mean, low, high = share(20, 20)
    assert (mean, high) == (1, 1)
    assert low == pytest.approx(1 / (1 + stats.norm.ppf(0.975) ** 2 / 20))


def test_methods_are_listed_best_first():
    rows = [row for _, row in Results(results_of([0.0] * 4)).where(role="judged").groups("setting")]
    table = rivals_table(rows)
    assert table.rows[0][:2] == ["this prediction", "1"]
    assert {row[1] for row in table.rows[1:]} == {"7.5"}
    assert rivals_table([]).rows[0][1] == "–"


def test_at_least_half_of_the_settings_judge():
    roles = [setting.role for setting in SETTINGS.values()]
    assert len(roles) >= 24
    assert roles.count("judged") >= len(roles) / 2
    assert [SETTINGS[name].role for name in DEFAULT].count("judged") >= len(DEFAULT) / 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"settings": ("nothing",)}, "--settings nothing must be default, all or among"),
        ({"models": 18}, "--models 18 must be a multiple of 4 and at least 16"),
        (
            {"models": 16, "targets": 5},
            "--targets 5 with --reruns 1 are 10 models; they must be at",
        ),
        (
            {"models": 16, "targets": 1, "reruns": 6},
            "--reruns 6 with --models 16 leave less than 4",
        ),
        ({"settings": ("digits-sgd",), "train_size": 70}, "digits-sgd has a pool of 70 examples"),
    ],
)
def test_wrong_options_are_told_before_training(wrong, message, tmp_path):
    with pytest.raises(UserError, match=message):
        prediction.run(prediction.Options(**wrong, out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
