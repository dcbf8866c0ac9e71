"""Who pays: groups and numbers on made-up runs, and a small run through the command line."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from experiments.framework.errors import UserError
from experiments.framework.results import Results, entry
from experiments.framework.run_directory import is_complete
from experiments.jobs.who_pays import Options
from experiments.jobs.who_pays.analysis import (
    over_representation,
    rarity,
    taken_away,
    takes_away,
)
from experiments.jobs.who_pays.claims import claims
from experiments.jobs.who_pays.groups import groups_of, made_rare
from experiments.membership.defenses import parse_defense, parse_defenses
from experiments.membership.runs import DefenseRun, SeedRun
from experiments.tasks.recipe import Recipe
from experiments.tasks.task import load_task
from tests.experiments.running import check_report, mistakes_of, results_of_run, run_of

SEEDS, MODELS, EXAMPLES, KEEP = 2, 4, 200, 0.25


@pytest.fixture(scope="module")
def digits():
    return load_task("digits", "mlp", (8,))


def test_groups_by_class(digits):
    groups = groups_of(digits, (9, 8, 8), "class")
    assert groups.rare == (8, 9)
    rare_task, rare_groups = made_rare(digits, groups, 0.1, "class")
    before, after = np.bincount(digits.dataset.train.y), np.bincount(rare_groups.train)
    np.testing.assert_array_equal(after[:8], before[:8])
    np.testing.assert_array_equal(after[8:], np.ceil(before[8:] / 10))
    masks = rare_groups.masks()
    assert list(masks) == [*"0123456789", "rare", "common"]
    train, test = masks["rare"]
    assert train.sum() == after[8:].sum()
    assert test.sum() == np.isin(digits.dataset.test.y, (8, 9)).sum()
    np.testing.assert_array_equal(masks["common"][0], ~train)
    assert len(rare_task.dataset.train) == len(train)


def test_groups_by_subgroup(digits):
    def with_parity(split):
        return replace(split, subgroups=split.y % 2)

    dataset = digits.dataset
    parity = replace(
        digits,
        dataset=replace(dataset, train=with_parity(dataset.train), test=with_parity(dataset.test)),
    )
    groups = groups_of(parity, (1,), "subgroup")
    assert groups.names == ("0", "1")
    _, rare = made_rare(parity, groups, 0.2, "subgroup")
    odd = (dataset.train.y % 2).sum()
    assert rare.masks()["1"][0].sum() == np.ceil(0.2 * odd)
    with pytest.raises(UserError, match="leave at least one common"):
        groups_of(parity, (0, 1), "subgroup")


@settings(deadline=None, max_examples=40)
@given(num_models=st.integers(1, 5), num_examples=st.integers(2, 30), seed=st.integers(0, 99))
def test_over_representation_is_a_ratio_of_shares(num_models, num_examples, seed):
    rng = np.random.default_rng(seed)
    members = np.ones((num_models, num_examples), bool)
    taken = rng.random(members.shape)
    group = rng.random(num_examples) < 0.5
    group[0], group[1] = True, False
    ratios = [over_representation(taken, members, part) for part in (group, ~group)]
    share = group.mean()
    # Weighted by the shares of the groups, the ratios average to 1.
    assert share * ratios[0] + (1 - share) * ratios[1] == pytest.approx(1)
    everybody = over_representation(np.full_like(taken, 0.3), members, group)
    assert everybody == pytest.approx(1)


def test_what_is_taken_away_by_hand():
    members = np.array([[True, True, True, False], [True, True, False, True]])
    run = SeedRun(
        members=members,
        removed=np.array([[True, False, False, False], [True, False, False, False]]),
        nats=np.zeros(members.shape),
        mu=np.zeros(members.shape),
        appearances=np.array([[1, 4, 3, 0], [2, 4, 0, 4]]),
        steps=None,
        outputs=None,
    )
    recipe = Recipe("adam", 0.1, False, 2, epochs=4)
    first = np.array([True, False, False, False])

    def of(family):
        return taken_away(DefenseRun(parse_defense(family), recipe, None, [run]), run)

    assert not any(takes_away(parse_defense(family)) for family in ("sgd", "clip", "dp_sgd"))
    assert all(takes_away(parse_defense(family)) for family in ("censor", "gate", "budget"))
    # All that is removed is the first example, which is 2 of 6 members.
    assert over_representation(of("censor"), members, first) == pytest.approx(1 / (2 / 6))
    # It was dropped from 3/4 and 1/2 of the epochs, another one from 1/4.
    np.testing.assert_array_equal(of("gate"), [[0.75, 0, 0.25, 0], [0.5, 0, 0, 0]])
    np.testing.assert_array_equal(of("budget"), of("gate"))
    assert over_representation(of("gate"), members, first) == pytest.approx(1.25 / 1.5 / (2 / 6))
    assert np.isnan(over_representation(np.zeros(members.shape), members, first))


@pytest.mark.parametrize(
    ("over_common", "by_rarity", "expected"),
    [
        (0.1, 0.1, "reproduced"),
        (0.1, 0.0, "partly"),
        (0.1, -0.1, "contradicted"),
        (-0.1, 0.1, "contradicted"),
        (0.0, 0.0, "not told apart"),
    ],
)
@pytest.mark.parametrize("strengths", [["0.1"], ["0.1", "0.2"]])
def test_verdicts_need_both_contrasts(over_common, by_rarity, expected, strengths):
    plain, *others = parse_defenses(["sgd", *(f"censor:{share}" for share in strengths)])
    noise = np.array([-0.001, 0.0, 0.001])

    def effect(measure, defense, base):
        for data, group, value in (
            ("imbalanced", "rare", base + noise),
            ("imbalanced", "common", [base - over_common] * 3),
            ("as it is", "rare", [base - by_rarity] * 3),
        ):
            yield entry(measure, value, data=data, defense=defense.label, group=group)

    entries = [*effect("auc", plain, 0.6), *effect("tpr_at_1pct", plain, 0.05)]
    for defense in others:
        entries += effect("accuracy_lost", defense, 0.2)
        entries += effect("over_representation", defense, 1 + over_common)
    plan = SimpleNamespace(options=SimpleNamespace(chosen=[plain, *others]))
    found = {claim.key: claim.verdict for claim in claims(plan, Results(entries))}
    # A family that was run with several strengths has a claim for each.
    names = ["censor"] if len(others) == 1 else ["censor_0.1", "censor_0.2"]
    keys = [*(f"pays_{n}" for n in names), "exposed", *(f"taken_{n}" for n in names)]
    assert found == dict.fromkeys(keys, expected)


run = run_of(
    f"who_pays --seeds {SEEDS} --shadow-models {MODELS} --train-size {EXAMPLES} --epochs 1 "
    f"--hidden 8 --rare 3 --keep {KEEP} --defenses censor --censor-fraction 0.2"
)


results = results_of_run()


def test_groups_have_the_sizes_that_were_asked_for(results, digits):
    labels = digits.dataset.train.y[:EXAMPLES]
    whole, imbalanced = (results.where(data=name) for name in ("as it is", "imbalanced"))
    for digit in range(10):
        count = int(np.sum(labels == digit))
        assert whole.get("training_examples", group=str(digit)).values == [count]
        kept = int(np.ceil(KEEP * count)) if digit == 3 else count
        assert imbalanced.get("training_examples", group=str(digit)).values == [kept]
        tested = imbalanced.get("test_examples", group=str(digit)).values
        assert tested == [np.sum(digits.dataset.test.y == digit)]


def test_the_numbers_follow_from_the_tables(run, results):
    for variant, folder in (("as it is", "as_it_is"), ("imbalanced", "imbalanced")):
        labels = pl.read_parquet(run[0] / folder / "per_example.parquet")
        scores = pl.read_parquet(run[0] / folder / "scores.parquet").join(
            labels.select("defense", "seed", "id", "label"), on=["defense", "seed", "id"]
        )
        accuracy = pl.read_parquet(run[0] / folder / "test_accuracy.parquet")
        for (label, seed), frame in scores.group_by("defense", "seed"):
            found = results.where(data=variant, defense=label)
            by_class = {}
            for digit in range(10):
                group = found.where(group=str(digit))
                of_group = frame.filter(pl.col("label") == digit)
                auc = roc_auc_score(of_group["member"], of_group["lira"])
                assert group.get("auc").values[seed] == pytest.approx(auc)
                of_class = accuracy.filter(
                    (pl.col("defense") == label)
                    & (pl.col("seed") == seed)
                    & (pl.col("class") == digit)
                )
                by_class[digit] = of_class["correct"].sum() / of_class["examples"].sum()
                assert group.get("accuracy").values[seed] == pytest.approx(by_class[digit])
                if label != "SGD":
                    members = frame.filter("member")
                    share = (members["label"] == digit).mean()
                    taken = (members.filter("removed")["label"] == digit).mean()
                    ratio = group.get("over_representation").values[seed]
                    assert ratio == pytest.approx(taken / share)
            worst = found.get("worst_accuracy").values[seed]
            assert worst == pytest.approx(min(by_class.values()))
            for measure in ("auc", "accuracy"):
                rare, third = (found.get(measure, group=name).values for name in ("rare", "3"))
                np.testing.assert_array_equal(rare, third)
    summary = json.loads((run[0] / "summary.json").read_text())
    shown = summary["imbalanced"]["SGD"]["3"]["auc"]["per_seed"]
    plain = results.where(data="imbalanced", defense="SGD")
    assert shown == plain.get("auc", group="3").values.tolist()


def test_costs_are_paired_differences_from_plain_sgd(results):
    lost = rarity(results, "accuracy_lost", "censor 20 %")
    plain, censored = (
        results.get("accuracy", data="imbalanced", defense=label, group="rare").values
        for label in ("SGD", "censor 20 %")
    )
    np.testing.assert_allclose(lost.rare.values, plain - censored)
    over_common, by_rarity = lost.contrasts
    np.testing.assert_allclose(over_common.values, lost.rare.values - lost.common.values)
    before = results.where(data="as it is", group="rare")
    cost = before.get("accuracy", defense="SGD") - before.get("accuracy", defense="censor 20 %")
    np.testing.assert_allclose(by_rarity.values, (lost.rare - cost).values)


def test_the_run_is_complete_and_says_what_it_found(run):
    assert is_complete(run[0])
    check_report(run, images=2)
    found = json.loads((run[0] / "claims.json").read_text())
    assert [claim["key"] for claim in found] == ["pays_censor", "exposed", "taken_censor"]


def test_defenses_are_named_with_their_strengths_and_earlier_options_still_count(capsys):
    def labels(**given):
        return [defense.label for defense in Options(**given).chosen]

    assert labels() == ["SGD", "gate q=0.9", "censor 10 %", "DP-SGD ε=8"]
    assert labels(defenses=("gate:0.5", "sgd", "gate")) == ["SGD", "gate q=0.5", "gate q=0.9"]
    assert capsys.readouterr().err == ""
    earlier = {"gate_quantile": (0.7,), "censor_fraction": (0.2,), "epsilon": (2.0,)}
    assert labels(**earlier) == ["SGD", "gate q=0.7", "censor 20 %", "DP-SGD ε=2"]
    assert "--epsilon will go in the next release" in capsys.readouterr().err


test_wrong_options_are_told_in_one_line = mistakes_of(
    "who_pays",
    [
        ("--rare 12", "--rare 12 is no class with training and test examples of digits; choose"),
        ("--rare 0 1 2 3 4 5 6 7 8 9", "--rare names every group; leave at least one common"),
        ("--keep 1", "--keep 1.0 must be between 0 and 1"),
        ("--group-by subgroup", "no subgroup labels"),
        ("--seeds 0", "--seeds 0 must be at least 1"),
        ("--shadow-models 3", "--shadow-models 3 must be even and at least 4"),
        ("--gate-quantile 1.5", "--gate-quantile 1.5 must be above 0 and at most 1"),
        ("--rare", "--rare is empty; name at least one"),
        ("--defenses gte", "unknown defense 'gte'; choose from"),
        ("--defenses dp_sgd:-1", "the strength of the defense 'dp_sgd:-1' must be positive"),
        ("--epsilon -1", "--epsilon -1.0 must be positive"),
    ],
)
