"""The study of in-run control: interpolation by hand, and a tiny run of the command line."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.framework.results import Results, entry
from experiments.jobs.control import Options
from experiments.jobs.control.claims import claims
from experiments.jobs.control.frontier import Point, at_equal_accuracy, interpolate
from experiments.membership.attacks import ATTACKS
from tests.experiments.running import canaries_are_apart, mistakes_of, run_of, shows


def test_between_settings_success_is_on_a_straight_line():
    accuracy, success = np.array([0.9, 0.96, 0.8]), np.array([0.02, 0.05, 0.01])
    assert interpolate(accuracy, success, 0.96) == 0.05
    assert interpolate(accuracy, success, 0.93) == pytest.approx(0.035)
    assert interpolate(accuracy, success, 0.85) == pytest.approx(0.015)
    assert np.isnan(interpolate(accuracy, success, 0.79))
    assert np.isnan(interpolate(accuracy, success, 0.97))


def test_a_method_whose_success_falls_linearly_is_read_exactly():
    """Success = 5 % - slope · loss, with another accuracy of plain SGD in each seed."""
    best = np.array([0.95, 0.9, 0.97])
    slopes = np.array([0.5, 1.0, 1.5])

    def point(loss):
        return Point(best - loss, 0.05 - slopes * loss)

    drops = (0.0, 0.01, 0.025, 0.05)
    found = at_equal_accuracy(point(0.0), [point(0.03), point(0.01)], drops)
    for drop, rate in zip(drops[:3], found):
        np.testing.assert_allclose(rate, 0.05 - slopes * drop)
    assert found[3] is None


def test_a_loss_that_one_seed_does_not_reach_is_not_compared():
    plain = Point(np.array([0.9, 0.9]), np.array([0.1, 0.1]))
    setting = Point(np.array([0.85, 0.89]), np.array([0.0, 0.0]))
    assert at_equal_accuracy(plain, [setting], (0.02,)) == [None]


def test_the_verdict_is_on_paired_differences_at_losses_that_both_reach():
    censor = [0.030, 0.034, 0.032]
    rates = {
        "gate": {0.01: [0.020, 0.024, 0.021], 0.04: [0.9, 0.9, 0.9]},
        "clip": {0.01: [0.040, 0.041, 0.044]},
        "budget": {},
        "censor": {0.01: censor, 0.02: censor},
    }
    results = Results(
        [
            *(entry("frontier", 0.0, method=method, lost=0.0) for method in rates),
            *(
                entry("tpr_at_1pct", values, method=method, lost=lost)
                for method, found in rates.items()
                for lost, values in found.items()
            ),
        ]
    )
    plan = SimpleNamespace(options=SimpleNamespace(drops=(0.01, 0.02, 0.04)))
    found = {claim.key: claim for claim in claims(plan, results)}
    assert list(found) == ["control_gate", "control_clip", "control_budget"]
    assert found["control_gate"].verdict == "reproduced"
    assert found["control_gate"].measured.startswith("at 1 point less accuracy 2.17 ±")
    assert found["control_clip"].verdict == "contradicted"
    assert found["control_budget"].verdict == "not tested at this scale"


run = run_of(
    "control --seeds 2 --shadow-models 4 --train-size 120 --epochs 2 --hidden 16 "
    "--defenses gate:0.5 budget:0.2 censor:0.3 --drops 0.01 "
    "--canaries near_duplicates --num-canaries 12"
)


test_the_report_is_complete = shows("SGD", "gate q=0.5", "budget 0.2", "censor 30 %", images=1)


def test_every_method_has_a_frontier_and_a_claim(run):
    results = Results.read(run[0] / "results.parquet")
    methods = {"gate", "budget", "censor", "censor, removed left out"}
    assert set(results.values("method")) == methods
    for method in methods:
        nothing_lost = results.get("frontier", method=method, lost=0.0)
        plain = results.get("tpr_at_1pct", defense="SGD", attack="best")
        np.testing.assert_array_equal(nothing_lost.values, plain.values)
    keys = [claim["key"] for claim in json.loads((run[0] / "claims.json").read_text())]
    assert keys == ["control_gate", "control_budget"]
    assert len(results.values("defense")) == 4
    for _, row in results.groups("defense"):
        every = [row.get("tpr_at_1pct", attack=attack).values for attack in ATTACKS]
        best = row.get("tpr_at_1pct", attack="best").values
        np.testing.assert_array_equal(best, np.max(every, axis=0))


def test_canaries_are_reported_apart(run):
    canaries_are_apart(run[0])


def test_what_the_frontier_says_follows_from_the_settings(run):
    results = Results.read(run[0] / "results.parquet")
    plain = results.where(defense="SGD")
    for method, label in (("gate", "gate q=0.5"), ("censor", "censor 30 %")):
        row = results.where(defense=label)
        lost = plain.get("test_accuracy").values - row.get("test_accuracy").values
        np.testing.assert_allclose(row.get("accuracy_lost").values, lost)
        found = results.find("tpr_at_1pct", method=method, lost=0.01)
        ends = [one.get("tpr_at_1pct", attack="best").values for one in (plain, row)]
        assert (found is not None) == (lost >= 0.01).all()
        if found is not None:
            expected = ends[0] + 0.01 / lost * (ends[1] - ends[0])
            np.testing.assert_allclose(found.values, expected, atol=1e-9)


test_a_mistake_is_told_in_one_sentence = mistakes_of(
    "control",
    [
        ("--defenses gate:0.9", "--defenses names no censor"),
        ("--defenses gate:1.5 censor", "'gate:1.5' must be above 0 and at most 1"),
        ("--censor-fractions", "--defenses names no censor"),
        ("--gate-quantiles 1.5", "--gate-quantiles 1.5"),
        ("--budgets-nats 0", "--budgets-nats 0.0"),
        ("--drops 0.02 -1", "--drops -1.0"),
        ("--canary-noise 1", "--canary-noise 1 is of copies: choose --canaries near_duplicates"),
        ("--shadow-models 3", "--shadow-models 3"),
        ("--seeds 0", "--seeds 0"),
        ("--recipes no/such/file", "no/such/file"),
    ],
)


def test_options_of_earlier_versions_name_the_settings():
    old = Options(
        gate_quantiles=(0.5,), clip_caps=(), budgets_nats=(0.2,), censor_fractions=(0.3, 0.4)
    )
    labels = [defense.label for defense in old.chosen_and_plain]
    assert labels == ["SGD", "gate q=0.5", "budget 0.2", "censor 30 %", "censor 40 %"]
