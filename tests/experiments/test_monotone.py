"""The study of attack success over uniqueness, through the real command line."""

import itertools
import json

import numpy as np
import polars as pl
import pytest
from sklearn.isotonic import IsotonicRegression

from experiments.framework.results import Results, entry
from experiments.jobs.monotone.claims import claims
from experiments.jobs.monotone.estimators import chosen
from experiments.jobs.monotone.measure import Plan
from experiments.jobs.monotone.shape import shape
from tests.experiments.running import complete_run, mistakes_of

SEEDS, MODELS, EXAMPLES = 2, 4, 120
MAIN = "exact, per batch, ridge 0.1"


run, test_the_run_is_complete = complete_run(
    f"monotone --seeds {SEEDS} --shadow-models {MODELS} --train-size {EXAMPLES} --epochs 2 "
    f"--hidden 8 --checkpoints 1 --other-ridges 1 --diagonal-ridges 0.1",
    "claims.json",
    "scores.parquet",
    "per_example.parquet",
    images=2,
)


def test_success_and_measures_follow_from_the_score_table(run):
    out, _ = run
    curve = Results.read(out / "results.parquet").where(estimator=MAIN, success="lira_auc")
    scores = pl.read_parquet(out / "scores.parquet")
    assert len(scores) == SEEDS * MODELS * EXAMPLES
    members = scores.filter(pl.col("seed") == 1).sort("model", "id")
    held = members["member"].to_numpy().reshape(MODELS, EXAMPLES)
    margin = members["margin"].to_numpy().reshape(MODELS, EXAMPLES)
    gnq = members[MAIN].to_numpy().reshape(MODELS, EXAMPLES)
    assert (gnq[~held] == 0).all()
    assert (gnq[held] > 0).all()
    order = np.argsort(np.where(held, gnq, 0).sum(0), kind="stable")
    auc = [pairs_told_apart(*columns) for columns in zip(margin.T[order], held.T[order])]
    expected = np.reshape(auc, (10, EXAMPLES // 10)).mean(axis=1)
    found = [curve.get("reached", decile=decile).values[1] for decile in range(1, 11)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    summary = json.loads((out / "summary.json").read_text())
    first = summary[MAIN]["lira_auc"]["1"]["reached"]
    assert first["per_seed"] == curve.get("reached", decile=1).values.tolist()
    # Every epoch holds each member once.
    assert set(members.filter("member")["appearances"]) == {2}


def pairs_told_apart(margin, held):
    """Of one example: pairs of models on both sides, told apart by the direction of the others."""
    told = []
    for i, o in itertools.product(np.flatnonzero(held), np.flatnonzero(~held)):
        others = np.delete(np.arange(len(held)), [i, o])
        inside, outside = (margin[others][held[others] == side].mean() for side in (True, False))
        told.append((1 + np.sign((margin[i] - margin[o]) * (inside - outside))) / 2)
    return np.mean(told)


def test_a_larger_ridge_measures_less(run):
    scores = pl.read_parquet(run[0] / "scores.parquet").filter("member")
    assert (scores["exact, per batch, ridge 1"] < scores[MAIN]).all()
    assert (scores["exact, data set, ridge 0.1"] > 0).all()


def test_claims_have_a_verdict_and_an_interval(run):
    claims = json.loads((run[0] / "claims.json").read_text())
    assert len({claim["key"] for claim in claims}) == len(claims) == 6
    assert all("±" in claim["measured"] for claim in claims)


def test_shape_of_known_curves():
    rising = np.tile(np.linspace(0.5, 0.8, 10), (3, 1))
    found = shape(rising)
    np.testing.assert_allclose(found.rise, 0.3)
    np.testing.assert_allclose(found.isotonic, 1)
    assert (found.left_arm < 0).all()
    valley = np.tile([0.7, 0.6, 0.5, 0.6, 0.9], (3, 1))
    found = shape(valley)
    np.testing.assert_allclose(found.left_arm, 0.2)
    np.testing.assert_allclose(found.right_arm, 0.4)
    assert np.isnan(shape(valley[:1]).left_arm).all()


def test_a_flat_noisy_curve_has_no_left_arm_on_average():
    # The minimum of the same curve would lie 1.4 deviations below the first bin.
    noise = np.random.default_rng(0).normal(size=(400, 10))
    arms = np.concatenate([shape(noise[i : i + 4]).left_arm for i in range(0, 400, 4)])
    assert abs(arms.mean()) < 4 * arms.std() / np.sqrt(len(arms))


def test_isotonic_share_is_that_of_scikit_learn():
    curve = np.random.default_rng(1).normal(size=10)
    fitted = IsotonicRegression().fit_transform(np.arange(10), curve)
    share = 1 - ((curve - fitted) ** 2).sum() / ((curve - curve.mean()) ** 2).sum()
    np.testing.assert_allclose(shape(curve[None]).isotonic, share)


@pytest.mark.parametrize(
    ("left_arm", "u_curve"),
    [(0.1, "reproduced"), (0.0, "not told apart"), (-0.1, "contradicted")],
)
def test_a_u_curve_has_two_arms_and_a_rise_two_effects(left_arm, u_curve):
    noise = np.array([-0.001, 0.0, 0.001])
    estimators = chosen(0.1, (), (0.1,))
    results = Results(
        entry(name, value + noise, estimator=estimator.label, success="lira_auc")
        for estimator in estimators
        for name, value in (
            ("spearman", 0.5 if estimator.kind == "exact" else 0.4),
            ("rise", 0.0),
            ("left_arm", left_arm),
            ("right_arm", 0.2),
            ("isotonic", 0.9),
        )
    )
    found = {
        claim.key: claim.verdict for claim in claims(Plan(None, None, None, estimators, 2), results)
    }
    assert found["u_curve_over_gnq"] == u_curve
    assert found["attack_rises_with_gnq"] == "partly"
    assert found["gnq_ranks_better_than_gradient_norm"] == "reproduced"


test_wrong_options_are_told_before_training = mistakes_of(
    "monotone",
    [
        ("--seeds 0", "--seeds 0 must be at least 1"),
        ("--shadow-models 5", "--shadow-models 5 must be even"),
        ("--epochs 0", "--epochs 0 must be at least 1"),
        ("--checkpoints 0", "--checkpoints 0 must be at least 1"),
        ("--relative-ridge 0.0", "--relative-ridge 0.0 must be positive"),
        ("--other-ridges -1.0", "--other-ridges -1.0 must be positive"),
        ("--diagonal-ridges", "--diagonal-ridges is empty"),
        ("--train-size 20", "20 training examples are too few"),
    ],
)
