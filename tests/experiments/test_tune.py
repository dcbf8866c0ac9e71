import numpy as np
import pytest

from experiments.defenses import Defense
from experiments.recipe import Recipe, load_recipes
from experiments.task import load_task
from experiments.tune import (
    Options,
    Trial,
    all_trials,
    search_record,
    to_json,
    validation_accuracy,
)


@pytest.mark.parametrize(
    "defense",
    [
        Defense("clip", "clip", 0.5),
        pytest.param(Defense("DP-SGD", "dp_sgd", 8.0), marks=pytest.mark.long),
    ],
)
def test_models_tuned_together_are_as_accurate_as_alone(defense):
    task = load_task("digits", "mlp", (8,), train_size=120)
    options = Options(repeats=1)
    fast, slow = (Recipe("momentum", rate, False, 30, 4, 1.0) for rate in (0.5, 1e-4))
    together = validation_accuracy(task, Trial(defense, [fast, slow]), options)
    alone = validation_accuracy(task, Trial(defense, [fast]), options)
    np.testing.assert_allclose(together[0], alone[0], atol=1.01 / 60)  # one example on an edge
    assert together[0] > together[1] + 0.1


def test_the_search_gives_dp_sgd_the_largest_share():
    count: dict[str, int] = {}
    for trial in all_trials(Options()):
        name = trial.defense.label
        count[name] = count.get(name, 0) + len(trial.recipes)
        assert len({(r.optimizer, r.batch_size, r.epochs) for r in trial.recipes}) == 1
    assert count["SGD"] == count["gate"] == count["clip"]
    assert count["DP-SGD ε=2"] == count["DP-SGD ε=8"] > count["gate"]


def test_the_record_holds_the_best_recipe_and_can_be_loaded(tmp_path):
    base = {"optimizer": "adam", "cosine_decay": True, "batch_size": 64, "epochs": 3}
    rows = [
        {"defense": "sgd", **base, "learning_rate": rate, "l2_norm_clip": None, "accuracy": acc}
        for rate, acc in ((0.1, 0.7), (0.2, 0.9), (0.3, 0.8))
    ]
    path = tmp_path / "recipes.json"
    record = search_record(Options(), rows)
    path.write_text(to_json(record))
    assert load_recipes("digits", path).find("sgd") == Recipe("adam", 0.2, True, 64, 3)
    assert record["tried"] == {"sgd": 3}
    assert len(record["search"]) == 3


def test_a_smaller_batch_wins_where_accuracy_is_about_equal():
    base = {"optimizer": "adam", "cosine_decay": True, "epochs": 3, "l2_norm_clip": None}
    rows = [
        {"defense": "sgd", **base, "batch_size": size, "learning_rate": 0.1, "accuracy": accuracy}
        for size, accuracy in ((256, 0.9), (128, 0.897), (64, 0.88))
    ]
    assert search_record(Options(), rows)["recipes"]["sgd"]["batch_size"] == 128
