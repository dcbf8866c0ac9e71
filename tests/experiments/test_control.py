"""The study of in-run control: interpolation by hand, and a tiny run of the command line."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from experiments.framework.command_line import main
from experiments.framework.run_directory import is_complete
from experiments.framework.seeds import over_seeds
from experiments.jobs.control.claims import claims
from experiments.jobs.control.frontier import at_equal_accuracy, interpolate


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
        return {"accuracy": over_seeds(best - loss), "success": over_seeds(0.05 - slopes * loss)}

    drops = (0.0, 0.01, 0.025, 0.05)
    found = at_equal_accuracy(point(0.0), [point(0.03), point(0.01)], drops)
    for drop, rate in zip(drops[:3], found):
        np.testing.assert_allclose(rate["per_seed"], 0.05 - slopes * drop)
    assert found[3] is None


def test_a_loss_that_one_seed_does_not_reach_is_not_compared():
    plain = {"accuracy": over_seeds([0.9, 0.9]), "success": over_seeds([0.1, 0.1])}
    setting = {"accuracy": over_seeds([0.85, 0.89]), "success": over_seeds([0.0, 0.0])}
    assert at_equal_accuracy(plain, [setting], (0.02,)) == [None]


def test_the_verdict_is_on_paired_differences_at_losses_that_both_reach():
    censor = over_seeds([0.030, 0.034, 0.032])
    summary = {
        "drops": [0.01, 0.02, 0.04],
        "at_drops": {
            "censor": [censor, censor, None],
            "gate": [over_seeds([0.020, 0.024, 0.021]), None, over_seeds([0.9, 0.9, 0.9])],
            "clip": [over_seeds([0.040, 0.041, 0.044]), None, None],
            "budget": [None, None, None],
        },
    }
    found = {claim.key: claim for claim in claims(summary)}
    assert found["control_gate"].verdict == "reproduced"
    assert found["control_gate"].measured.startswith("at 1 points less accuracy 2.17 ±")
    assert found["control_clip"].verdict == "not reproduced"
    assert found["control_budget"].verdict == "not tested at this scale"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("control") / "run"
    command = (
        "control --seeds 2 --shadow-models 4 --train-size 120 --epochs 2 --hidden 16 "
        "--gate-quantiles 0.5 --clip-caps --budgets-nats 0.2 --censor-fractions 0.3 "
        f"--drops 0.01 --out {out}"
    )
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *command.split()],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "160"},
    )
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_the_run_is_complete_and_its_report_loads_nothing(run):
    out, text = run
    assert is_complete(out)
    page = (out / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]{0,20})', page)
    assert [source.startswith("data:image/svg+xml;") for source in sources] == [True]
    assert str(out / "report.html") in text
    for label in ("SGD", "gate q=0.5", "budget 0.2", "censor 30 %"):
        assert label in page


def test_every_method_has_a_frontier_and_a_claim(run):
    summary = json.loads((run[0] / "summary.json").read_text())
    methods = {"gate", "budget", "censor", "censor, removed left out"}
    assert set(summary["at_drops"]) == set(summary["frontiers"]) == methods
    keys = [claim["key"] for claim in json.loads((run[0] / "claims.json").read_text())]
    assert keys == ["control_gate", "control_budget"]
    for entry in summary["defenses"].values():
        attacks = entry["attacks"]
        larger = np.maximum(
            attacks["lira"]["tpr_at_1pct"]["per_seed"], attacks["rmia"]["tpr_at_1pct"]["per_seed"]
        )
        np.testing.assert_array_equal(attacks["best"]["tpr_at_1pct"]["per_seed"], larger)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--gate-quantiles", "1.5"], "--gate-quantiles 1.5"),
        (["--budgets-nats", "0"], "--budgets-nats 0.0"),
        (["--drops", "0.02", "-1"], "--drops -1.0"),
        (["--shadow-models", "3"], "--shadow-models 3"),
        (["--seeds", "0"], "--seeds 0"),
        (["--recipes", "no/such/file"], "no/such/file"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(capsys, arguments, says):
    assert main(["control", *arguments]) == 2
    assert says in capsys.readouterr().err
