"""The study of auditors of DP-SGD, and its bounds against closed forms."""

import json

import dp_accounting
import numpy as np
import polars as pl
import pytest
from scipy import stats

from experiments.framework.errors import UserError
from experiments.framework.results import Results
from experiments.jobs import auditors
from experiments.jobs.auditors.bounds import (
    gaussian_epsilon,
    many_run_epsilon,
    one_run_epsilon,
    subsampled_mu,
)
from experiments.jobs.auditors.canaries import coin_flips, with_canaries
from experiments.tasks.task import load_task
from gujax.transforms import epsilon_spent
from tests.experiments.running import complete_run

SEEDS, MODELS, EXAMPLES, CANARIES = 2, 6, 120, 40
DELTA = 1e-5


run, test_the_run_is_complete = complete_run(
    f"auditors --seeds {SEEDS} --shadow-models {MODELS} --train-size {EXAMPLES} --epochs 2 "
    f"--hidden 8 --epsilons 1 --canaries {CANARIES} --guesses 10",
    "claims.json",
    "canaries.parquet",
    "uniqueness.parquet",
    images=1,
)


def test_there_are_four_claims(run):
    assert len(json.loads((run[0] / "claims.json").read_text())) == 4


def test_numbers_follow_from_the_tables(run):
    results = Results.read(run[0] / "results.parquet").where(target=1.0)
    epsilons = {
        auditor: said.get("epsilon").values for (auditor,), said in results.groups("auditor")
    }
    summary = json.loads((run[0] / "summary.json").read_text())["1.0"]
    assert summary["one_run"]["epsilon"]["per_seed"] == epsilons["one_run"].tolist()
    rate, steps = results.get("sampling_rate").mean, results.get("steps").mean
    canaries = pl.read_parquet(run[0] / "canaries.parquet")
    uniqueness = pl.read_parquet(run[0] / "uniqueness.parquet")
    for seed in range(SEEDS):
        rows = canaries.filter(pl.col("seed") == seed)
        found = [
            one_run_epsilon(
                of_model["learned"].to_numpy(), of_model["included"].to_numpy(), 10, DELTA, 0.05
            )
            for _, of_model in rows.group_by("model")
        ]
        assert epsilons["one_run"][seed] == pytest.approx(np.mean(found))
        of_seed = uniqueness.filter(pl.col("seed") == seed)
        mu = rate * np.sqrt(steps * of_seed["excess"].max())
        assert epsilons["gnq"][seed] == pytest.approx(gaussian_epsilon(mu, DELTA), rel=1e-5)
        # What is hidden, by others or by sampling, is not disclosed.
        assert epsilons["gnq_median"][seed] <= epsilons["gnq"][seed]
        assert epsilons["gnq"][seed] <= epsilons["formula"][0] * (1 + 1e-5)
        assert epsilons["accountant"][seed] <= 1
        for auditor in set(epsilons) - {"accountant", "formula"}:
            gap = results.get("below_accountant", auditor=auditor).values[seed]
            assert gap == epsilons["accountant"][seed] - epsilons[auditor][seed]


def test_a_step_is_worth_at_most_the_noise(run):
    results = Results.read(run[0] / "results.parquet").where(target=1.0)
    uniqueness = pl.read_parquet(run[0] / "uniqueness.parquet")
    most = np.expm1(results.get("noise_multiplier").mean ** -2.0)
    assert 0 < uniqueness["excess"].max() <= most * (1 + 1e-5)
    # The last model holds every canary, the first about half of them.
    held = uniqueness.filter(pl.col("canary") & (pl.col("mu") > 0))
    counts = held.group_by("audited").len().to_dict(as_series=False)
    by_model = dict(zip(counts["audited"], counts["len"]))
    assert by_model["first"] < by_model["all canaries"]


def test_canaries_have_wrong_labels_and_fair_coins():
    task = load_task("digits", "mlp", (8,), 200)
    rng = np.random.default_rng(0)
    changed, canaries = with_canaries(task, 50, rng)
    before, after = task.dataset.train.y, changed.dataset.train.y
    assert np.flatnonzero(before != after).tolist() == canaries.tolist()
    assert set(after) <= set(range(10))
    members = coin_flips(40, 200, canaries, rng)
    assert members[:, np.setdiff1d(np.arange(200), canaries)].all()
    assert (members[:, canaries].sum(axis=0) == 20).all()
    per_model = members[:20, canaries].sum(axis=1)
    assert stats.chisquare(np.bincount(members[:20, canaries].ravel())).pvalue > 1e-3
    assert per_model.std() == pytest.approx(np.sqrt(50) / 2, rel=0.5)


def test_one_run_bound_of_perfect_guesses_is_that_of_the_paper():
    # With δ ≈ 0 all r guesses right has probability q^r, q = e^ε / (1 + e^ε), under (ε, 0)-DP.
    scores = np.arange(100.0)
    included = scores >= 50
    found = one_run_epsilon(scores, included, 20, 1e-15, 0.05)
    q = 0.05 ** (1 / 20)
    assert found == pytest.approx(np.log(q / (1 - q)), rel=1e-3)
    assert one_run_epsilon(scores, ~included, 20, DELTA, 0.05) == 0


def test_many_run_bound_is_that_of_clopper_and_pearson():
    # Perfectly separated: half of the scores are left for the bound, without an error.
    included = np.arange(4000).reshape(4, 1000) % 2 == 0
    found = many_run_epsilon(included.astype(float), included, 0.0, 0.05, seed=0)
    error = stats.beta.ppf(1 - 0.025, 1, 1000)
    assert found == pytest.approx(np.log((1 - error) / error), rel=1e-6)
    noise = np.random.default_rng(0).normal(size=included.shape)
    assert many_run_epsilon(noise, included, DELTA, 0.05, seed=0) < 0.2


@pytest.mark.parametrize("mu", [0.05, 0.5, 2.0, 6.0])
def test_gaussian_epsilon_is_that_of_dp_accounting(mu):
    expected = dp_accounting.get_epsilon_gaussian(1 / mu, DELTA)
    assert gaussian_epsilon(mu, DELTA) == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert gaussian_epsilon(0.0, DELTA) == 0


def test_subsampled_mu_approximates_the_accountant():
    rate, steps, noise = 0.05, 2000, 2.0
    mu = subsampled_mu(np.expm1(noise**-2.0), rate, steps)
    exact = epsilon_spent(noise, DELTA, rate, steps)
    assert gaussian_epsilon(float(mu), DELTA) == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seeds": 0}, "--seeds 0 must be at least 1"),
        ({"shadow_models": 4}, "--shadow-models 4 must be even and at least 6"),
        ({"epochs": 0}, "--epochs 0 must be at least 1"),
        ({"epsilons": ()}, "--epsilons is empty"),
        ({"epsilons": (0.0,)}, "--epsilons 0.0 must be positive"),
        ({"delta": 1.0}, "--delta 1.0 must be between 0 and 1"),
        ({"significance": 0.7}, "--significance 0.7 must be between 0 and 0.5"),
        ({"canaries": 5}, "--canaries 5 must be at least 10"),
        ({"guesses": 400}, "--guesses 400 must be between 1 and --canaries 300"),
        ({"train_size": 200}, "--canaries 300 must be less than the 200 training examples"),
    ],
)
def test_wrong_options_are_told_before_training(wrong, message, tmp_path):
    with pytest.raises(UserError, match=message):
        auditors.run(auditors.Options(**wrong, out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
