"""A small run of the job `invert` through the real command line, and what it refuses."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from experiments.framework.results import Results, entry
from experiments.inversion.analysis import with_attack
from experiments.inversion.runs import rounds
from experiments.jobs.invert.claims import claims
from experiments.jobs.invert.measure import prepare
from experiments.jobs.invert.options import Options
from gujax import data
from tests.experiments.running import (
    check_report,
    complete_run,
    mistakes_of,
    results_of_run,
)

SEEDS, VICTIMS = 2, 4


run, test_the_run_is_complete = complete_run(
    f"invert --seeds {SEEDS} --victims {VICTIMS} --hidden 12 12 --iterations 8 --reference 6 "
    "--defenses none precode batch:2 --attacks ig analytic idlg labels ",
    "claims.json",
    "examples.parquet",
    "pictures.npz",
)


@pytest.fixture(scope="module")
def frame(run):
    return pl.read_parquet(run[0] / "examples.parquet")


results = results_of_run()


@pytest.mark.parametrize("defense", ["none", "precode"])
def test_networks_may_be_trained_before(defense):
    def accuracy(epochs):
        given = Options(hidden=(12,), epochs=epochs, seeds=1, defenses=(defense,), victims=4)
        plan = prepare(given)
        now, train = next(rounds(plan)), plan.task.dataset.train
        logits = now.shared.model.apply(now.params, train.x)
        return np.mean(np.argmax(logits, axis=1) == train.y)

    assert accuracy(4) > accuracy(0) + 0.2


def test_a_defense_is_never_without_its_adaptive_attack(results):
    def made(defense):
        return set(results.where(defense=defense).values("attack"))

    assert made("no defense") == {"ig", "analytic", "idlg", "labels"}
    assert made("PRECODE") == {"ig", "adaptive", "analytic", "idlg", "labels"}
    # iDLG is for one example, a batch is known to every attacker.
    assert made("batch of 2") == {"ig", "analytic", "labels"}


def test_rows_are_of_the_examples_that_were_attacked(frame):
    digits = data.load("digits").train
    assert len(frame) == SEEDS * VICTIMS * 12
    labels = dict(zip(digits.ids.tolist(), digits.y.tolist()))
    assert [labels[i] for i in frame["id"]] == frame["label"].to_list()
    victims = [set(part["id"]) for part in frame.partition_by("seed")]
    assert all(len(ids) == VICTIMS for ids in victims)
    assert victims[0] != victims[1]
    assert (frame["uniqueness"] > 0).all()
    assert frame["uniqueness"].is_finite().all()


def test_pictures_are_what_the_table_measures(run, frame):
    pictures = np.load(run[0] / "pictures.npz")
    truth = pictures["truth"]
    ids = frame.filter((pl.col("seed") == 0) & (pl.col("attack") == "analytic"))["id"][:VICTIMS]
    digits = data.load("digits").train
    np.testing.assert_allclose(truth, digits.x[ids.to_numpy()], atol=1e-6)
    for name in set(pictures) - {"truth"}:
        defense, attack = name.split(" / ")
        rows = with_attack(frame.filter(pl.col("seed") == 0), defense, attack)
        mse = ((pictures[name] - truth) ** 2).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(rows["mse"], mse, rtol=1e-3, atol=1e-9)


def test_the_analytic_attack_and_idlg_are_exact_without_a_defense(frame):
    plain = frame.filter(pl.col("defense") == "no defense")
    exact = plain.filter(pl.col("attack") == "analytic")
    assert (exact["feature_error"] < 1e-3).all()
    assert exact["success"].all()
    assert plain.filter(pl.col("attack") == "idlg")["label_recovered"].all()
    assert frame.filter(pl.col("attack") == "labels")["ssim"].is_null().all()
    # A bottleneck before the last layer leaves the first one as it is.
    precode = frame.filter((pl.col("defense") == "PRECODE") & (pl.col("attack") == "analytic"))
    assert precode["success"].all()


def test_the_results_follow_from_the_table(run, frame, results):
    summary = json.loads((run[0] / "summary.json").read_text())
    compared = 0
    for (label, name), measured in results.groups("defense", "attack"):
        seeds = with_attack(frame, label, name).partition_by("seed")
        for measure in ("success", "label_recovered", "ssim"):
            expected = [seed[measure].mean() for seed in seeds]
            found = measured.find(measure)
            if found is None:
                assert any(seed[measure].is_null().all() for seed in seeds)
                continue
            np.testing.assert_allclose(found.values, expected)
            assert summary[label][name][measure]["mean"] == pytest.approx(np.mean(expected))
            compared += 1
    assert compared > 12


def test_the_report_loads_nothing_and_shows_the_numbers(run, results):
    _, text = run
    page = check_report(run, images=3)
    for (label,), measured in results.groups("defense"):
        assert label in page
        assert f"{100 * measured.get('success', attack='ig').mean:.1f} ±" in page
        assert label in text


def test_verdicts_follow_from_the_strongest_attack():
    high, low, none = [0.9, 1.0, 0.95], [0.1, 0.2, 0.15], [0.0, 0.0, 0.0]
    families = {
        "no defense": ("none", {"ig": high, "idlg": high}),
        "PRECODE": ("precode", {"ig": none, "adaptive": high}),
        "PPP 1": ("ppp", {"ig": none, "adaptive": low}),
        "CVB": ("cvb", {"ig": none, "adaptive": none}),
        "pruning 0.9": ("prune", {"ig": low, "adaptive": high}),
        "batch of 8": ("batch", {"ig": low}),
    }
    entries = [
        entry(measure, values, defense=label, attack=attack)
        for label, (_, attacks) in families.items()
        for attack, success in attacks.items()
        for measure, values in (
            ("success", success),
            ("feature_error", [1 - value for value in success]),
            ("label_recovered", [1.0, 1.0, 1.0]),
            ("spearman", [0.4, 0.5, 0.6]),
        )
    ]
    plan = SimpleNamespace(
        task=SimpleNamespace(model_name="a network"),
        families={label: family for label, (family, _) in families.items()},
    )
    verdicts = {claim.key: claim.verdict for claim in claims(plan, Results(entries))}
    assert verdicts == {
        "inversion_breaks_undefended": "reproduced",
        "idlg_labels": "reproduced",
        "precode_stops_inversion": "reproduced",
        "adaptive_attack_breaks_precode": "reproduced",
        "ppp_1_holds": "not told apart",
        "cvb_holds": "reproduced",
        "prune_lowers_success": "not told apart",
        "batch_lowers_success": "reproduced",
        "inversion_follows_uniqueness": "reproduced",
    }


test_a_mistake_is_told_in_one_sentence = mistakes_of(
    "invert --hidden 8 8",
    [
        ("--defenses nonsense", "unknown defense 'nonsense'; choose from none, precode"),
        ("--defenses gaussian:much", "strength of the defense 'gaussian:much' is not a"),
        ("--defenses prune:1.5", "defense 'prune:1.5': fraction=1.5"),
        ("--defenses none:2", "takes no strength"),
        ("--defenses batch:2.5", "2.5 must be a whole number"),
        ("--defenses cvb", "defense 'cvb': bottleneck=convolutional() is for images"),
        ("--attacks guess", "unknown attack 'guess'; choose from ig, adaptive"),
        ("--match layers/9", "--match: leaf_weights=only('layers/9'): there is no such leaf"),
        (
            "--match layers/2 --defenses precode",
            "--match layers/2 leaves nothing to match for an attack on the defense 'PRECODE'",
        ),
        ("--bottleneck-before layers/7", "defense 'precode': before='layers/7' is no layer"),
        ("--bottleneck-before layers/0", "the bottleneck leaves nothing to match for an att"),
        (
            "--model lenet --bottleneck-before convolutions/1",
            "defense 'precode': bottleneck=linear() is for vectors",
        ),
        ("--victims 12", "--victims 12 must be a multiple of the 8 examples"),
        ("--victims 2000", "--victims 2000 and --reference 48 are more than the 1437"),
        ("--seeds 0", "--seeds 0 must be at least 1"),
        ("--learning-rate 0", "--learning-rate 0.0 must be positive"),
        ("--total-variation -1", "--total-variation -1.0 must be at least 0"),
        ("--sharpness -1", "--sharpness -1.0 must be at least 0"),
        ("--sharpness inf", "--sharpness inf must be"),
        ("--ssim-threshold 1", "--ssim-threshold 1.0 must be"),
        ("--epochs -1", "--epochs -1"),
    ],
)
