"""The `extraction` job: its run, its numbers, what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from experiments.framework.command_line import main
from experiments.framework.errors import UserError
from experiments.framework.results import Results
from experiments.jobs.extraction.analysis import analyze, auc, spearman
from experiments.jobs.extraction.claims import claims
from experiments.jobs.extraction.counterfactual import (
    correct_tokens,
    counterfactual_memorization,
    halves,
)
from experiments.jobs.extraction.measure import Run, exposures_of, prepare, statistics
from experiments.jobs.extraction.options import Options
from experiments.jobs.extraction.report import report
from experiments.tasks.language import tuning
from gujax import training
from gujax.attacks.texts import TokenScores
from tests.experiments.running import check_files

WORDS = ["river", "stone", "lamp", "seven", "green", "paper", "north", "candle"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    rng = np.random.default_rng(0)
    lines = dict.fromkeys(" ".join(rng.choice(WORDS, 3)) for _ in range(20))
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    file.write_text("\n".join(lines) + "\n")
    return file


SMALL = {"num_texts": 4, "canaries": 2, "seeds": 2, "exposures": (1, 6), "cut_to": 60}
SMALL |= {"lora_rank": 0, "batch_size": 4, "epochs": 12, "learning_rate": 0.02, "prefix": 4}


@pytest.fixture(scope="module")
def run(texts, tmp_path_factory):
    out = tmp_path_factory.mktemp("extraction") / "run"
    words = ["--model", "tiny", "--texts", str(texts), "--out", str(out)]
    for name, value in SMALL.items():
        several = value if isinstance(value, tuple) else (value,)
        words += [f"--{name.replace('_', '-')}", *map(str, several)]
    assert main(["extraction", *words]) == 0
    return out


def test_what_is_seen_often_is_extracted(run):
    check_files(run, "report.html", "claims.json", "texts.parquet")
    rows = pl.read_parquet(run / "texts.parquet")
    assert len(rows) == 2 * 2 * (4 + 2)
    unequal = rows.filter(pl.col("condition") == "unequal", ~pl.col("canary"))
    assert sorted(unequal["exposures"].unique()) == [12, 72]
    often, seldom = (unequal.filter(exposures=n)["log_probability"].mean() for n in (72, 12))
    assert often > seldom
    assert rows["loss_after"].mean() < rows["loss_before"].mean()
    # As often on average, where all are seen equally often.
    assert (rows.filter(condition="equal")["exposures"] == 42).all()
    # A step adds no more than log 2 nats.
    assert (rows["nats"] <= rows["exposures"] * np.log(2) + 1e-3).all()
    assert rows["nats"].min() > 0
    of_canaries = rows.filter("canary")["canary_exposure"]
    assert of_canaries.min() >= 0
    assert of_canaries.max() <= 5


def test_memorization_is_of_texts_that_were_trained_on(run):
    """Models learn these few texts by heart, and know nothing of the others."""
    rows = pl.read_parquet(run / "texts.parquet").filter(~pl.col("canary"), condition="equal")
    assert rows["counterfactual"].mean() > 0.3
    assert rows["counterfactual"].max() <= 1
    results = Results.read(run / "results.parquet")
    assert np.isfinite(
        results.get("spearman", condition="equal", predictor="counterfactual").values
    ).all()
    for condition in ("equal", "unequal"):
        key = f"gnq_predicts_better_than_counterfactual_{condition}"
        assert key in (run / "claims.json").read_text()
    page = (run / "report.html").read_text()
    assert "It costs 2 more trainings for each" in page


class Killed(Exception):
    """What ends a training at one of its epochs."""


class Watch:
    """Progress that notes the epochs, and kills a training after one."""

    def __init__(self, kill_after=None):
        self.epochs, self.kill_after = [], kill_after

    def within(self, done, total):
        self.epochs.append(done)
        if done == self.kill_after:
            raise Killed


def test_an_interrupted_reference_goes_on_bit_for_bit(texts, tmp_path):
    """The reference on the other half, which runs the same program, is not mistaken for it."""
    plan = plan_of(texts, lora_rank=2, epochs=3)
    trained = tuning(plan.language_model, 2, jax.random.key(0))

    def train(half, watch):
        run = Run(plan, trained, "unequal", 0, watch)
        return run.fine_tune(run.repeats * half, measured=False).params

    one, other = halves(exposures_of(plan.options, "unequal"), 2, 0)
    whole = train(one, Watch())
    with training.checkpointing(tmp_path, every_seconds=0):
        with pytest.raises(Killed):
            train(one, Watch(kill_after=3))
        train(other, watch := Watch())
        assert watch.epochs == [1, 2, 3]
        again = train(one, watch := Watch())
    assert watch.epochs == [3]
    jax.tree.map(np.testing.assert_array_equal, whole, again)


def test_without_references_nothing_is_said_of_them(run, texts):
    plan = plan_of(texts, references=0)
    table = pl.read_parquet(run / "texts.parquet").drop("counterfactual")
    results = Results(analyze(plan, table))
    made = claims(plan, results)
    assert plan.num_steps == 2 * 2
    assert "counterfactual" not in results.values("predictor")
    assert not [claim.key for claim in made if "counterfactual" in claim.key]
    page = report(plan, table, results).render({"predictors": ""})
    assert "Counterfactual memorization" not in page


def test_halves_are_of_texts_seen_as_often():
    repeats = np.repeat([1, 2, 8], [6, 4, 2])
    chosen = halves(repeats, 4, 0)
    assert (chosen.sum(axis=0) == 2).all()
    for count, half in ((1, 3), (2, 2), (8, 1)):
        assert (chosen[:, repeats == count].sum(axis=1) == half).all()
    assert not (chosen == halves(repeats, 4, 1)).all()


def test_counterfactual_memorization_is_a_difference_of_means():
    chosen = np.array([[True, False, True], [False, True, True], [True, True, False]])
    correct = np.array([[0.9, 0.2, 0.5], [0.1, 0.2, 0.7], [0.7, 0.4, 0.5]])
    found = counterfactual_memorization(correct, chosen)
    np.testing.assert_allclose(found, [0.8 - 0.1, 0.3 - 0.2, 0.6 - 0.5])


@pytest.mark.parametrize("num_models", [2, 8])
def test_what_only_members_know_is_memorized(num_models):
    """Members know every token, others the first three of four; of common knowledge nothing is."""
    repeats = np.repeat([1, 4], [6, 2])
    chosen = halves(repeats, num_models, 0)
    common = np.arange(8) % 2 == 0
    likeliest = np.ones((num_models, 8, 4), bool)
    likeliest[..., 3] = chosen | common
    counted, unused = np.ones((8, 4), bool), np.zeros((8, 4))
    correct = [correct_tokens(TokenScores(unused, unused, unused, of, counted)) for of in likeliest]
    found = counterfactual_memorization(np.array(correct), chosen)
    np.testing.assert_allclose(found, np.where(common, 0, 1 - 3 / 4))


def test_correct_tokens_are_those_that_count():
    counted = np.array([[True, True, True, True], [True, True, False, False]])
    likeliest = np.array([[True, False, True, True], [True, False, True, True]])
    unused = np.zeros((2, 4))
    scores = TokenScores(unused, unused, unused, likeliest, counted)
    np.testing.assert_allclose(correct_tokens(scores), [0.75, 0.5])


def test_correlations_follow_from_the_texts(run):
    results = Results.read(run / "results.parquet")
    rows = pl.read_parquet(run / "texts.parquet").filter(~pl.col("canary"), condition="unequal")
    ranks = [
        np.corrcoef(of_seed["exposures"].rank(), of_seed["log_probability"].rank())[0, 1]
        for _, of_seed in rows.group_by("seed", maintain_order=True)
    ]
    found = results.get("spearman", condition="unequal", predictor="exposures")
    np.testing.assert_allclose(found.values, ranks, rtol=1e-6)
    constant = results.get("spearman", condition="equal", predictor="exposures")
    assert np.isnan(constant.values).all()


def test_measures_of_a_batch_are_those_of_its_gram_matrix():
    rng = np.random.default_rng(0)
    grads = {"w": jnp.asarray(rng.normal(size=(5, 7)))}
    mask = jnp.array([True, True, True, True, False])
    rows = np.asarray(grads["w"], np.float64)
    ridge = 0.1 * np.mean(np.sum(rows[:4] ** 2, axis=1))
    gnq = []
    for j in range(4):
        others = np.delete(rows[:4], j, axis=0)
        second_moment = others.T @ others + ridge * np.eye(7)
        gnq.append(rows[j] @ np.linalg.solve(second_moment, rows[j]))
    measured = {name: function(grads, mask) for name, function in statistics(0.1).items()}
    np.testing.assert_allclose(measured["gnq"], [*gnq, 0], rtol=1e-4)
    nats = np.minimum(0.5 * np.log1p(gnq), np.log(2))
    np.testing.assert_allclose(measured["nats"], [*nats, 0], rtol=1e-4)
    norms = np.sum(rows**2, axis=1)
    np.testing.assert_allclose(measured["squared_norm"], [*norms[:4], 0], rtol=1e-5)


def test_what_does_not_vary_tells_nothing():
    assert np.isnan(spearman(np.ones(4), np.arange(4.0)))
    assert np.isnan(auc(np.arange(4.0), np.ones(4)))
    assert auc(np.array([1.0, 2, 3, 4]), np.array([0.0, 1, 0, 1])) == 0.75


def plan_of(file, **options):
    return prepare(Options(**({"model": "tiny", "texts": str(file)} | SMALL | options)))


def test_texts_and_canaries_are_seen_as_often(texts):
    plan = plan_of(texts)
    assert exposures_of(plan.options, "unequal").tolist() == [1, 1, 6, 6, 1, 6]
    one, other = ({*of_seed[:4]} for of_seed in plan.texts)
    assert not one & other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_texts": 5}, "--num-texts 5 must be a multiple of the 2 --exposures"),
        ({"prefix": 60}, "--prefix 60 must be less than --cut-to 60"),
        ({"cut_to": 20}, "--cut-to 20 cuts canaries, which have 57 tokens"),
        ({"batch_size": 9}, "--batch-size 9 must be at most --num-texts 4"),
        ({"references": 1}, "--references 1 must be even"),
        ({"seeds": 30}, "--num-texts and --seeds ask for 120; ask for fewer"),
        ({"prefix": 20}, r"--prefix 20: a text has \d+ tokens"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(texts, options, message):
    with pytest.raises(UserError, match=message):
        plan_of(texts, **options)


def test_an_attacker_knows_nothing_of_the_code(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(f"{n} {' '.join(WORDS)}" for n in range(8)))
    plan_of(file, prefix=46)
    with pytest.raises(UserError, match="--prefix 47 reaches into the codes of canaries"):
        plan_of(file, prefix=47)
