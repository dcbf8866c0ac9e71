"""Verdicts of `compare` on fronts whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.framework.results import Results
from experiments.jobs.compare.analysis import contests
from experiments.jobs.compare.claims import claims
from experiments.membership.fronts import Point

PLAN = SimpleNamespace(
    options=SimpleNamespace(dataset="made", canaries="near_duplicates", canary_noise=0.3)
)
NOISE = np.array([-0.0005, 0.0, 0.0005])


def point(accuracy, found):
    return Point(accuracy + NOISE, found - NOISE)


def verdicts(of_examples, of_canaries=None):
    results = Results(
        [*contests(of_examples, "ordinary"), *contests(of_canaries or {}, "canaries")]
    )
    return {claim.key: claim.verdict for claim in claims(PLAN, results)}


@pytest.mark.parametrize(
    ("gate", "accuracy", "privacy"),
    [
        # As private as DP-SGD, and five points more accurate.
        ((0.95, 0.02), "reproduced", "reproduced"),
        # As private, and as accurate.
        ((0.90, 0.02), "reproduced", "contradicted"),
        # Three points more are found at the same accuracy.
        ((0.90, 0.05), "contradicted", "contradicted"),
    ],
)
def test_the_gate_against_dp_sgd(gate, accuracy, privacy):
    found = verdicts({"gate": [point(*gate)], "DP-SGD": [point(0.90, 0.02), point(0.92, 0.05)]})
    assert found == {"gate_at_equal_accuracy": accuracy, "gate_at_equal_privacy": privacy}


def test_a_family_that_did_not_run_has_no_claim():
    assert verdicts({"gate": [point(0.9, 0.02)]}) == {}
    assert verdicts({"DP-SGD": [point(0.9, 0.02)]}) == {}


@pytest.mark.parametrize(
    ("found", "of_canaries", "expected"),
    [
        (0.03, 0.5, ("reproduced", "reproduced")),
        (0.05, 0.5, ("contradicted", "reproduced")),
        (0.03, 0.9, ("reproduced", "contradicted")),
    ],
)
def test_out_of_fold_against_the_better_of_two(found, of_canaries, expected):
    """At the same accuracy: 8 % under DP-SGD, 7 % under early stopping, all canaries by both."""

    def families(ours, one, other):
        return {
            "out of fold": [point(0.6, ours)],
            "DP-SGD": [point(0.6, one)],
            "early stopping": [point(0.6, other)],
        }

    told = verdicts(families(found, 0.08, 0.07), families(of_canaries, 0.99, 0.99))
    keys = "out_of_fold_finds_few_members", "out_of_fold_finds_few_canaries"
    assert tuple(told[key] for key in keys) == expected
