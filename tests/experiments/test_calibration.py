"""The study of predicted against achieved attacks, and its parts against closed forms."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from scipy import stats

import gujax
from experiments.framework.results import Results, entry
from experiments.jobs.calibration.claims import claims
from experiments.jobs.calibration.fitting import Curve, fit_ridge
from experiments.jobs.calibration.spectrum import filtered, spectrum, uniqueness_under
from tests.experiments.running import complete_run, mistakes_of

SEEDS, MODELS, EXAMPLES = 2, 8, 60


run, test_the_run_is_complete = complete_run(
    f"calibration --other-datasets --seeds {SEEDS} --shadow-models {MODELS} --train-size "
    f"{EXAMPLES} --epochs 2 --hidden 8 --checkpoints 1 --ridges 1 --every 1 2 --draws 8 ",
    "claims.json",
    "updates.parquet",
    "final.parquet",
    images=1,
)


def test_results_follow_from_the_tables(run):
    out, _ = run
    results = Results.read(out / "results.parquet")
    updates = pl.read_parquet(out / "updates.parquet")
    assert len(updates) == SEEDS * 2 * EXAMPLES / 2
    of_updates = results.where(attack="updates", dataset="digits", ridge=1.0)
    for (every,), found in of_updates.groups("every"):
        rows = updates.filter((pl.col("every") == every) & (pl.col("seed") == 1))
        expected = stats.norm.cdf(rows["mu"].to_numpy() / np.sqrt(2)).mean()
        assert found.get("predicted").values[1] == pytest.approx(expected, abs=1e-6)
        assert found.get("achieved").values[1] == pytest.approx(rows["achieved_auc"].mean())
        gap = found.get("predicted") - found.get("achieved")
        np.testing.assert_allclose(found.get("gap").values, gap.values, atol=1e-12)
    # Who sees more achieves more.
    every, some = (of_updates.where(every=k) for k in (1, 2))
    assert every.get("predicted").mean > some.get("predicted").mean
    assert every.get("achieved").mean > some.get("achieved").mean
    summary = json.loads((out / "summary.json").read_text())
    shown = summary["updates"]["digits"]["1.0"]["1"]["predicted"]
    assert shown["per_seed"] == every.get("predicted").values.tolist()
    final = pl.read_parquet(out / "final.parquet")
    assert (final.filter("member")["mu, ridge 1"] > final.filter("member")["mu, ridge 10"]).all()
    assert (final.filter(~pl.col("member"))["mu, ridge 1"] == 0).all()


def test_claims_are_about_every_attacker(run):
    claims = json.loads((run[0] / "claims.json").read_text())
    assert [claim["key"] for claim in claims] == [
        "calibrated_when_every_update_is_seen",
        "calibrated_when_some_updates_are_seen",
        "one_ridge_calibrates_the_final_model",
        "fitted_ridge_carries_over_to_new_examples",
        "fitted_ridge_carries_over_to_new_models",
        "fitted_ridge_carries_over_to_new_seeds",
    ]


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [
        ([0.0, 0.001, -0.001], "reproduced"),
        ([0.04, -0.04, 0.041], "contradicted"),
        ([0.0, 0.03, 0.015], "not told apart"),
        ([0.0, 0.001, np.nan], "not tested at this scale"),
    ],
)
def test_verdicts_are_about_what_is_allowed_in_every_seed(gap, verdict):
    def of_final(**keys):
        return entry("gap", gap, attack="final", dataset="digits", **keys)

    results = Results(
        [
            entry("gap", gap, attack="updates", dataset="digits", ridge=1.0, every=1),
            *(of_final(carried_to=f"new_{what}") for what in ("examples", "models", "seeds")),
            entry("bin_gap", np.abs(gap) + 0.03, attack="final", dataset="digits"),
            entry("fitted_ridge", [1, 2, 3], attack="final", dataset="digits"),
        ]
    )
    found = {c.key: c for c in claims(SimpleNamespace(tasks={"digits": None}), results)}
    tested = found["calibrated_when_every_update_is_seen"]
    assert tested.verdict == found["one_ridge_calibrates_the_final_model"].verdict == verdict
    assert found["fitted_ridge_carries_over_to_new_seeds"].verdict == verdict
    some = found["calibrated_when_some_updates_are_seen"]
    assert some.verdict == "not tested at this scale"
    assert found["one_ridge_calibrates_the_final_model"].measured.startswith("ridge 100 [")


def gradients(n=30, parameters=50, seed=0):
    rng = np.random.default_rng(seed)
    return rng.lognormal(0, 0.5, (n, 1)) * rng.normal(size=(n, parameters))


def test_uniqueness_of_the_spectrum_is_that_of_the_library():
    G = gradients()
    ridges = np.array([0.1, 1.0, 100.0])
    with jax.enable_x64(True):
        K = jnp.asarray(G @ G.T)
        found = uniqueness_under(spectrum(K), jnp.asarray(ridges))
        for row, ridge in zip(found, ridges):
            expected = gujax.uniqueness(K, relative_ridge=ridge)
            np.testing.assert_allclose(row, expected, rtol=1e-9)


def test_the_filter_is_that_of_the_definition():
    G, p, relative = gradients(), 0.3, 0.7
    n, parameters = G.shape
    rng = np.random.default_rng(1)
    included = (rng.random((n, 3)) < p).astype(float)
    noise = rng.normal(size=(parameters, 3))
    with jax.enable_x64(True):
        decomposed = spectrum(jnp.asarray(G @ G.T))
        found, mu_squared = filtered(
            decomposed, jnp.asarray(relative), jnp.asarray(included), jnp.asarray(G @ noise), p
        )
    ridge = relative * np.mean(np.sum(G**2, axis=1))
    sigma = np.sqrt(ridge * p * (1 - p))
    for j in (0, 7, n - 1):
        others = np.delete(G, j, axis=0)
        covariance = p * (1 - p) * others.T @ others + sigma**2 * np.eye(parameters)
        weights = np.linalg.solve(covariance, G[j])
        released = others.T @ (np.delete(included, j, axis=0) - p) + sigma * noise
        np.testing.assert_allclose(found[j], weights @ released, rtol=1e-8)
        np.testing.assert_allclose(mu_squared[j], weights @ G[j], rtol=1e-8)


def test_a_known_ridge_is_found_again():
    # Orthogonal gradients: μ² = ‖g‖² / (λ p(1−p)), so that the curve is 1 / ridge exactly.
    ridges = np.array([0.1, 1.0, 10.0])
    norms = np.linspace(0.5, 2, 40)
    curve = Curve(ridges, norms[None] / ridges[:, None])
    for ridge in (0.1, 0.5, 4.0, 300.0):
        expected = stats.norm.cdf(np.sqrt(norms / ridge / 2))
        np.testing.assert_allclose(curve.auc(ridge), expected, rtol=1e-5)
        if ridge > 0.1:
            assert fit_ridge(curve, expected) == pytest.approx(ridge, rel=1e-3)
    assert np.isnan(fit_ridge(curve, np.full(40, 0.49)))
    assert np.isnan(fit_ridge(curve, np.ones(40)))


test_wrong_options_are_told_before_training = mistakes_of(
    "calibration",
    [
        ("--seeds 0", "--seeds 0 must be at least 1"),
        ("--shadow-models 6", "--shadow-models 6 must be a multiple of 4"),
        ("--epochs 0", "--epochs 0 must be at least 1"),
        ("--draws 0", "--draws 0 must be at least 1"),
        ("--ridges", "--ridges is empty"),
        ("--ridges 0.01", "--ridges 0.01 must be between 0.1 and 10000"),
        ("--every 2", "--every must name positive numbers, 1 among them"),
        ("--train-size 30", "digits has 30 training examples, too few"),
    ],
)
