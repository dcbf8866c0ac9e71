from dataclasses import replace

import numpy as np
import pytest

from experiments.framework.command_line import main
from experiments.framework.results import Results
from experiments.jobs.tune.judging import validation_accuracy
from experiments.jobs.tune.measure import analyze
from experiments.jobs.tune.options import Options
from experiments.jobs.tune.record import search_record, to_json
from experiments.jobs.tune.report import Recipes
from experiments.jobs.tune.trials import Row, Trial, all_trials, final_trials
from experiments.membership.defenses import Defense
from experiments.tasks.recipe import Recipe, load_recipes
from experiments.tasks.task import load_task

SGD, GATE = Defense("SGD", "sgd"), Defense("gate", "gate", 0.9)


@pytest.mark.parametrize(
    "defense",
    [
        Defense("clip", "clip", 0.5),
        pytest.param(Defense("DP-SGD", "dp_sgd", 8.0), marks=pytest.mark.long),
    ],
)
def test_models_tuned_together_are_as_accurate_as_alone(defense):
    task = load_task("digits", "mlp", (32,), train_size=120)
    options, halves = Options(), np.arange(120)[None] % 2 == 0
    fast, slow = (Recipe("momentum", rate, False, 30, 20, 1.0) for rate in (0.5, 1e-4))
    together = validation_accuracy(task, Trial(defense, [fast, slow]), halves, options)
    alone = validation_accuracy(task, Trial(defense, [fast]), halves, options)
    np.testing.assert_allclose(together[0], alone[0], atol=1.01 / 60)  # one example on an edge
    assert together[0] > together[1] + 0.1


def test_average_and_last_parameters_are_judged_on_the_same_models():
    task = load_task("digits", "mlp", (32,), train_size=120)
    halves = np.arange(120)[None] % 2 == 0
    last = Recipe("momentum", 0.3, False, 10, 4)  # steps so large that averaging matters
    average = replace(last, average_decay=0.99)
    both = validation_accuracy(task, Trial(SGD, [average, last]), halves, Options())
    alone = validation_accuracy(task, Trial(SGD, [last]), halves, Options())
    assert both[1] == alone[0]
    assert both[0] != both[1]


def test_every_practice_is_a_trial_of_its_own():
    options = Options(
        multiplicities=(0, 1),
        dp_multiplicities=(0, 4),
        average_decay=0.9,
        standardize_weights=(False, True),
        flip=True,
    )
    for trial in all_trials(options):
        kinds = {(r.augmentation_multiplicity, r.standardize_weights) for r in trial.recipes}
        assert len(kinds) == 1
        assert {r.average_decay for r in trial.recipes} == {0.0, 0.9}
        assert all(r.flip == r.augments for r in trial.recipes)
    dp = {r.augmentation_multiplicity for t in all_trials(options) for r in t.recipes}
    assert dp == {0, 1, 4}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--average-decay", "1"], "--average-decay 1.0"),
        (["--dp-multiplicities", "-1"], "--dp-multiplicities -1"),
        (["--shift", "-1"], "--shift -1"),
        (["--dp-batch-sizes", "64", "500", "--train-size", "900"], "--dp-batch-sizes 500"),
        (
            ["--multiplicities", "1", "--dataset", "breast_cancer", "--dp-batch-sizes", "64"],
            "shifts or flips images",
        ),
        (["--repeats", "0"], "--repeats 0 must be at least 1"),
        (["--defenses", "sgd", "censor:0.1"], "--defenses censor: there is no search for it"),
        (["--defenses", "sgd@5"], "--defenses: leave out what is behind the @"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(capsys, arguments, says):
    assert main(["tune", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_the_search_gives_dp_sgd_the_largest_share():
    count: dict[str, int] = {}
    for trial in all_trials(Options()):
        name = trial.defense.label
        count[name] = count.get(name, 0) + len(trial.recipes)
        assert len({(r.optimizer, r.batch_size, r.epochs) for r in trial.recipes}) == 1
    plain = {count[name] for name in ("SGD", "gate q=0.9", "clip 0.01")}
    private = {count[name] for name in ("DP-SGD ε=2", "DP-SGD ε=8")}
    assert len(plain) == len(private) == 1
    assert min(private) > max(plain)


def test_strengths_may_be_given_as_in_earlier_versions():
    old = Options(gate_quantile=(0.5,), clip_cap=(0.1,), epsilons=(1.0, 3.0)).chosen
    new = Options(defenses=("sgd", "gate:0.5", "clip:0.1", "dp_sgd:1", "dp_sgd:3")).chosen
    assert old == new
    assert not any(defense.epsilon for defense in Options(epsilons=()).chosen)


def test_the_best_of_the_search_go_into_the_finals_those_of_one_compilation_together():
    def recipe(rate, batch_size=64):
        return Recipe("adam", rate, True, batch_size, 3)

    search = [
        Row(SGD, recipe(0.1), 0.7),
        Row(SGD, recipe(0.2), 0.9),
        Row(SGD, recipe(0.3, 128), 0.8),
        Row(SGD, recipe(0.4), 0.85),
        Row(GATE, recipe(0.1), 0.1),
    ]
    assert final_trials(search, Options(finalists=3)) == [
        Trial(SGD, [recipe(0.2), recipe(0.4)]),
        Trial(SGD, [recipe(0.3, 128)]),
        Trial(GATE, [recipe(0.1)]),
    ]


def test_the_record_says_what_was_searched_and_not_where(monkeypatch):
    command = "tune --dataset digits --out some/where --overwrite --repeats 2"
    monkeypatch.setattr("sys.argv", ["experiments", *command.split()])
    recipe = Recipe("adam", 0.1, True, 64, 3)
    record = search_record(Options(), "MLP", [Row(SGD, recipe, 0.9)], [Row(SGD, recipe, 0.8)])
    assert record["command"] == "python -m experiments tune --dataset digits --repeats 2"


def test_the_record_holds_the_winner_of_the_finals_and_can_be_loaded(tmp_path):
    recipes = [Recipe("adam", rate, True, 64, 3) for rate in (0.1, 0.2, 0.3)]
    search = [Row(SGD, recipe, value) for recipe, value in zip(recipes, (0.95, 0.9, 0.8))]
    finals = [Row(SGD, recipe, value) for recipe, value in zip(recipes, (0.85, 0.9))]
    path = tmp_path / "recipes.json"
    record = search_record(Options(), "MLP", search, finals)
    path.write_text(to_json(record))
    assert load_recipes("digits", path).find("sgd") == recipes[1]
    assert record["tried"] == {"sgd": 3}
    assert (len(record["search"]), len(record["finals"])) == (3, 2)
    results = Results(analyze(None, record))
    assert results.get("accuracy", method="sgd").mean == 0.9
    (row,) = Recipes(record).table().rows
    assert row == ["sgd", "adam 0.2 cosine", "64", "3", "–", "–", "3", "90.0"]
