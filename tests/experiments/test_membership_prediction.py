"""The attack predicted on one of many models, of a pool whose examples may repeat."""

import numpy as np
import pytest

import gujax
from experiments.membership.prediction import predict, unseen
from tests.assessment.models import fit, logits, problem

X, Y = problem()
HALVES = [np.random.default_rng(seed).permutation(len(Y)) < len(Y) // 2 for seed in range(3)]


@pytest.fixture(scope="module")
def runs():
    return [(fit(X, Y, half), half) for half in HALVES]


def test_it_is_the_assessment_in_the_order_of_the_pool(runs):
    found = predict(logits, (X, Y), runs[0], runs[1:], num_resamples=5)
    (params, inside), order = runs[0], np.argsort(~HALVES[0], kind="stable")
    expected = gujax.assess(
        logits,
        params,
        (X[inside], Y[inside]),
        (X[~inside], Y[~inside]),
        rerun=[(again, mask[order]) for again, mask in runs[1:]],
        num_resamples=5,
    )
    assert found.refusal == ""
    np.testing.assert_array_equal(found.shift[order], expected.shift)
    assert found.auc == expected.auc
    assert found.tpr(0.01) == expected.tpr(0.01)


def test_held_out_copies_of_members_are_left_out(runs):
    inside = HALVES[0]
    x = X.copy()
    member, copy = np.flatnonzero(inside)[0], np.flatnonzero(~inside)[:2]
    x[copy] = x[member]
    np.testing.assert_array_equal(np.flatnonzero(~inside & ~unseen(x, inside)), copy)
    found = predict(logits, (x, Y), runs[0], runs[1:2], num_resamples=2)
    assert found.assessment is not None
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found.shift)), copy)


def test_what_allows_no_prediction_gives_no_number(runs):
    found = predict(logits, (X, Y), runs[0], [runs[0]])
    assert "leaves out 0 members" in found.refusal
    assert np.isnan([*found.auc, *found.tpr(0.01), *found.shift]).all()
