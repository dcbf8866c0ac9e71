"""Censoring against DP-SGD: the rule of the claim, and a tiny run of the command line."""

from types import SimpleNamespace

import polars as pl
import pytest
from rich.console import Console

from experiments.framework.command_line import main
from experiments.framework.results import Entry, Results, entry
from experiments.jobs.censoring import Options, cases
from experiments.jobs.censoring.cases import load_cases
from experiments.jobs.censoring.claims import MARGIN, SUBSTANTIAL, claim, claims
from experiments.membership.attacks import measures
from tests.experiments.running import canaries_are_apart, mistakes_of, run_of, shows

SEEDS, MODELS, EXAMPLES = 2, 4, 120

CENSOR, PRIVATE = "censor 10 %", "DP-SGD ε=8"


def of_dataset(censor_rates, dp_rates, censor_accuracy, dp_accuracy):
    best = {"defense": CENSOR, "attack": "best"}
    rates = {CENSOR: censor_rates, PRIVATE: dp_rates}
    return Results(
        [
            *(entry("tpr_at_1pct", r, defense=d, attack="best") for d, r in rates.items()),
            entry("tpr_at_1pct", censor_rates, **best, kept="own"),
            entry("tpr_at_1pct", dp_rates, **best, kept=PRIVATE),
            entry("test_accuracy", censor_accuracy, defense=CENSOR),
            entry("test_accuracy", dp_accuracy, defense=PRIVATE),
        ]
    )


def test_effects_are_the_rule_of_the_claim():
    measured = of_dataset([0.02, 0.03], [0.015, 0.021], [0.95, 0.96], [0.9, 0.92])
    privacy, accuracy = claim("digits", measured, CENSOR, [PRIVATE], "members").effects
    assert privacy.mean == pytest.approx(MARGIN - (0.005 + 0.009) / 2)
    assert accuracy.mean == pytest.approx((0.05 + 0.04) / 2 - SUBSTANTIAL)
    # t interval of two values: half their difference times t(0.975, 1) = 12.7062.
    assert privacy.high - privacy.mean == pytest.approx(0.002 * 12.7062, rel=1e-4)
    kept = claim("digits", measured, CENSOR, [PRIVATE], "kept")
    assert kept.effects == (privacy, accuracy)


@pytest.mark.parametrize(
    ("rates", "accuracy", "verdict"),
    [
        ([0.020, 0.021, 0.022], [0.95, 0.951, 0.952], "reproduced"),
        ([0.040, 0.041, 0.042], [0.95, 0.951, 0.952], "contradicted"),
        ([0.020, 0.030, 0.022], [0.95, 0.951, 0.952], "partly"),
        ([0.020, 0.030, 0.022], [0.90, 0.951, 0.952], "not told apart"),
    ],
)
def test_verdicts(rates, accuracy, verdict):
    measured = of_dataset(rates, [0.020, 0.021, 0.022], accuracy, [0.9, 0.901, 0.902])
    results = Results(Entry(m, v, {"dataset": "d", **keys}) for m, v, keys in measured.entries)
    options = Options(defenses=("censor:0.1", "censor:0.2", "dp_sgd:8"))
    found = claims(SimpleNamespace(options=options), results)
    assert [claim.key for claim in found] == ["censoring_d_members", "censoring_d_kept"]
    assert {claim.verdict for claim in found} == {verdict}


def test_what_cannot_be_loaded_is_left_out_unless_it_was_named(monkeypatch, capsys):
    monkeypatch.setattr(cases, "DEFAULT", ("digits", "no_such_data"))
    options = Options(shadow_models=4, train_size=100, test_size=30, convnet_train_size=50)
    (case,) = load_cases(options, Console())
    assert "left out: data set 'no_such_data' is unknown" in capsys.readouterr().out
    assert (len(case.task.dataset.train), len(case.task.dataset.test)) == (100, 30)
    assert main(["censoring", "--datasets", "no_such_data"]) == 2
    assert "no_such_data" in capsys.readouterr().err


run = run_of(
    f"censoring --datasets digits --seeds {SEEDS} --shadow-models {MODELS} "
    f"--train-size {EXAMPLES} --test-size 90 --epochs 2 --hidden 16 "
    f"--defenses censor:0.1 dp_sgd:8"
)


with_canaries = run_of(
    f"censoring --datasets digits --seeds {SEEDS} --shadow-models {MODELS} "
    f"--train-size {EXAMPLES} --test-size 90 --epochs 1 --hidden 8 "
    f"--defenses censor:0.1 dp_sgd:8 --canaries mislabelled --num-canaries 12"
)


def test_canaries_are_reported_apart(with_canaries):
    canaries_are_apart(with_canaries[0], "digits", dataset="digits")


test_the_report_is_complete = shows(
    "censor 10 %", "DP-SGD ε=8", "Threat model", "left out", images=1
)


def test_attacks_follow_from_the_scores_counted_both_ways(run):
    out, _ = run
    results = Results.read(out / "results.parquet").where(dataset="digits")
    scores = pl.read_parquet(out / "digits" / "scores.parquet").sort("model", "id")

    def matrix(label, seed, column):
        frame = scores.filter((pl.col("defense") == label) & (pl.col("seed") == seed))
        return frame[column].to_numpy().reshape(MODELS, EXAMPLES)

    for seed in range(SEEDS):
        removed = matrix("censor 10 %", seed, "removed")
        assert removed.sum() == MODELS * EXAMPLES / 2 * 0.1
        for label in results.values("defense"):
            members = matrix(label, seed, "member")
            whose = "own" if label == CENSOR else label
            for attack in ("lira", "vector_lira", "rmia"):
                found = matrix(label, seed, attack)
                for keys, include in (
                    ({"defense": label}, None),
                    ({"defense": CENSOR, "kept": whose}, ~removed),
                ):
                    expected = measures(found, members, include)["tpr_at_1pct"]
                    shown = results.get("tpr_at_1pct", attack=attack, **keys).values[seed]
                    assert shown == pytest.approx(expected, abs=1e-12)


def test_only_plain_sgd_is_audited(run):
    scores = pl.read_parquet(run[0] / "digits" / "scores.parquet")
    known = scores.group_by("defense").agg(pl.col("nats").is_not_nan().all())
    assert dict(known.iter_rows()) == {"SGD": True, "censor 10 %": False, "DP-SGD ε=8": False}
    assert scores.filter(pl.col("defense") != "SGD")["nats"].is_nan().all()


test_a_mistake_is_told_in_one_sentence = mistakes_of(
    "censoring",
    [
        ("--fractions 0.1 1", "--fractions 1.0"),
        ("--tested-fraction 0.5", "--tested-fraction 0.5 must be one that --defenses"),
        ("--defenses censor:0.1", "--defenses names no dp_sgd"),
        ("--datasets", "--datasets is empty"),
        ("--epsilons -1", "--epsilons -1.0"),
        ("--convnet-shadow-models 5", "--convnet-shadow-models 5"),
        ("--test-size 0", "--test-size 0"),
        ("--delta 0", "--delta 0.0"),
    ],
)


def test_options_of_earlier_versions_name_what_is_compared():
    old = Options(fractions=(0.1, 0.3), epsilons=(8.0,), delta=1e-4)
    labels = [defense.label for defense in old.chosen_and_plain]
    assert labels == ["SGD", "censor 10 %", "censor 30 %", "DP-SGD ε=8"]
    assert old.of("dp_sgd")[0].delta == 1e-4
