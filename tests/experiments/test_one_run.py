"""What one run predicts of a defense: from the first models that training keeps."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import gujax
from experiments.membership.defenses import parse_defense, prepare
from experiments.membership.one_run import OneRun, predict_defense, refused
from experiments.membership.prediction import predict
from experiments.membership.runs import DefenseRun, halves, run_seed
from experiments.tasks.canaries import with_canaries
from experiments.tasks.recipe import Recipe
from experiments.tasks.task import load_task
from gujax import training

TASK = with_canaries(load_task("digits", "mlp", (16,), train_size=300), "mislabelled", 20)
RECIPE = Recipe("adam", 0.01, False, 30, 20)
SGD = parse_defense("sgd")


@pytest.fixture(scope="module")
def run():
    members = halves(TASK, 6, 0)
    ready = prepare(SGD, RECIPE, members, 0.1, measure=False)
    nothing = np.zeros_like(members)
    one = run_seed(TASK, RECIPE, ready, members, nothing, jax.random.key(0))
    return DefenseRun(SGD, RECIPE, None, [one])


def of(run, **change):
    return replace(run, seeds=[run.seeds[0]._replace(**change)])


def logits(params, x):
    return training.predict(TASK.model.apply, params, x)


def model(run, index):
    (one,) = run.seeds
    return jax.tree.map(lambda leaf: leaf[index], one.kept), one.members[index]


def test_the_first_three_models_are_kept(run):
    (one,) = run.seeds
    assert {len(leaf) for leaf in jax.tree.leaves(one.kept)} == {3}
    for index in range(3):
        params, _ = model(run, index)
        phi = gujax.signal(logits(params, TASK.dataset.train.x), TASK.dataset.train.y)
        np.testing.assert_allclose(phi, one.outputs.margin[index], rtol=1e-3, atol=1e-3)


def test_it_is_the_prediction_over_ordinary_examples(run):
    (found,) = predict_defense(TASK, run)
    assert found.refusal == found.reason == ""
    train = TASK.dataset.train
    rest = [model(run, index) for index in (1, 2)]
    expected = predict(logits, (train.x, train.y), model(run, 0), rest)
    ordinary = ~np.isin(train.ids, TASK.canaries.ids)
    attack = gujax.predict_attack(expected.shift[ordinary], expected.assessment.deviation)
    assert found.auc == pytest.approx(attack.auc, abs=1e-6)
    assert found.tpr_at_1pct == pytest.approx(float(attack.tpr(0.01)), abs=1e-6)
    assert found.auc < expected.auc.mean - 1e-3  # canaries would add to it


@pytest.mark.parametrize(
    ("name", "words"), [("out_of_fold:0.1", "soft labels"), ("censor:0.1", "removed members")]
)
def test_a_defense_that_it_does_not_apply_to(run, name, words):
    (found,) = predict_defense(TASK, replace(run, defense=parse_defense(name)))
    assert found.refusal == words
    assert np.isnan([found.auc, found.tpr_at_1pct]).all()
    assert len(found.reason) > 20


def test_models_without_a_gap(run):
    (one,) = run.seeds
    untrained = jax.tree.map(lambda leaf: np.stack([leaf[0]] * 3), one.kept)
    rng = np.random.default_rng(0)
    noise = jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.1, leaf.shape), untrained)
    # Models of which none knows its members: all are the first with noise.
    members = rng.permuted(one.members, axis=1)
    (found,) = predict_defense(TASK, of(run, kept=noise, members=members))
    assert found.refusal == "no significant gap"
    assert "nothing to calibrate" in found.reason
    assert np.isnan(found.auc)


def test_one_model_alone(run):
    (one,) = run.seeds
    alone = jax.tree.map(lambda leaf: leaf[:1], one.kept)
    (found,) = predict_defense(TASK, of(run, kept=alone))
    assert found.refusal == "no rerun"


def test_a_seed_that_refuses_is_counted():
    good, bad = OneRun(0.6, 0.1, 1.0), OneRun(np.nan, np.nan, 1.0, "no significant gap", "why")
    assert refused([good, good]) == ""
    assert refused([bad, bad]) == "no significant gap"
    assert refused([good, bad]) == "no significant gap (1 of 2 seeds)"
