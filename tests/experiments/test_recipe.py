import json
from dataclasses import MISSING, asdict, fields
from importlib import resources
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.framework.errors import UserError
from experiments.membership.defenses import account, parse_defense
from experiments.tasks.recipe import Recipe, descent, fit, load_recipes
from gujax.training import plan_batches

WITHOUT_EPSILON = ("cifar10_jpeg_few_epochs",)
ONLY_FEW_EPOCHS = ("adult", "spoken_digits")
SHIPPED = [
    file
    for file in (resources.files("experiments.tasks") / "recipes").iterdir()
    if file.suffix == ".json"
]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)
def test_shipped_recipes_won_the_recorded_finals(file):
    few_epochs = file.stem.endswith("_few_epochs")
    book = load_recipes("", Path(str(file)))
    record = json.loads(file.read_text())
    assert book.dataset == file.stem.removesuffix("_few_epochs")
    families = {name.partition(" ")[0] for name in book.recipes}
    if few_epochs or file.stem in ONLY_FEW_EPOCHS:
        formal = set() if file.stem in WITHOUT_EPSILON else {"dp_sgd"}
        assert families == {"sgd", "gate", "dp_noise"} | formal
    else:
        assert set(book.recipes) == {"sgd", "gate", "clip", "dp_sgd eps=2", "dp_sgd eps=8"}
    defaults = {
        field.name: field.default for field in fields(Recipe) if field.default is not MISSING
    }
    stages = {
        # A record is older than the fields that it does not have.
        stage: [{**defaults, **dict(zip(record["columns"], row))} for row in record[stage]]
        for stage in ("search", "finals")
    }
    for name, recipe in book.recipes.items():
        defense, _, epochs = name.partition(" epochs=")
        search, finals = (
            [
                row
                for row in rows
                if row["defense"] == defense and (not epochs or row["epochs"] == int(epochs))
            ]
            for rows in stages.values()
        )
        assert len(search) == record["tried"][name]
        winner = {"defense": defense, **asdict(recipe), "accuracy": record["accuracy"][name]}
        assert winner in finals
        assert winner["accuracy"] == max(row["accuracy"] for row in finals)
        # The finals were held among the best of the search at each number of epochs.
        for epochs in {row["epochs"] for row in finals}:
            tried, best = (
                [row for row in rows if row["epochs"] == epochs] for rows in (search, finals)
            )
            bar = sorted(row["accuracy"] for row in tried)[-len(best)]
            finalists = [{**row, "accuracy": None} for row in best]
            assert all(
                row["accuracy"] >= bar for row in tried if {**row, "accuracy": None} in finalists
            )
    # The baseline is tuned at least as hard as what we propose.
    baselines = {"dp_sgd eps=8", "dp_noise"} & record["tried"].keys()
    assert (
        baselines == {"dp_noise"} if file.stem in WITHOUT_EPSILON else "dp_sgd eps=8" in baselines
    )
    assert all(record["tried"][name] >= record["tried"]["gate"] for name in baselines)


def test_few_epochs_are_read_beside_the_others():
    book = load_recipes("digits")
    folder = resources.files("experiments.tasks") / "recipes"
    own, few = (
        load_recipes("", Path(str(folder / f"digits{kind}.json"))) for kind in ("", "_few_epochs")
    )
    assert book.find("sgd") == own.find("sgd") != few.find("sgd")  # the more accurate of both
    assert load_recipes("mnist10k").find("sgd").cosine_decay  # of the later search
    for epochs in (2, 3, 5, 10):
        assert book.find("sgd", epochs=epochs) == few.find("sgd", epochs=epochs)
        assert book.find("sgd", epochs=epochs).epochs == epochs
    assert book.search["tried"].keys() == own.search["tried"].keys() | few.search["tried"].keys()
    assert few.search["command"] in book.search["command"]


def test_what_has_no_search_of_its_own_falls_back():
    book = load_recipes("a data set nobody tuned")
    assert book.dataset == "digits"
    assert book.find("censor") == book.find("budget") == book.find("sgd")
    assert book.find("dp_sgd", 2.5) == book.find("dp_sgd", 2.0)
    assert book.find("dp_sgd", 100.0) == book.find("dp_sgd", 8.0)


def test_missing_recipes_are_reported(tmp_path):
    path = tmp_path / "recipes.json"
    path.write_text('{"dataset": "digits", "recipes": {}}')
    with pytest.raises(UserError, match="dp_sgd"):
        load_recipes("digits", path).find("dp_sgd", 2.0)
    # Plain SGD's recipe clips nothing.
    plan = plan_batches(np.ones(8, bool), 4, 1, "poisson")
    with pytest.raises(UserError, match="dp_sgd"):
        account(2.0, 1e-5, plan, 2, Recipe("momentum", 0.1, False, 4, 1))


def test_a_batch_is_no_larger_than_the_training_set():
    recipe = Recipe("momentum", 0.1, False, 128, 30)
    assert fit(recipe, 100).batch_size == 100
    assert fit(recipe, 1000) == recipe
    assert fit(recipe, 1000, epochs=2).epochs == 2


@pytest.mark.parametrize(("final_factor", "last"), [(1.0, 0.5), (0.0, 0.0)])
def test_the_learning_rate_is_constant_or_falls_to_zero(final_factor, last):
    optimizer = descent("momentum", 0.5, final_factor, 10)
    gradient = jnp.ones(())
    state = optimizer.init(gradient)
    rates = []
    for _ in range(11):
        # Without momentum's memory, the update is minus the rate.
        fresh = optax.tree_utils.tree_set(state, trace=jnp.zeros(()))
        update, state = optimizer.update(gradient, fresh)
        rates.append(-float(update))
    assert rates[0] == pytest.approx(0.5)
    assert rates[10] == pytest.approx(last, abs=1e-6)


def test_recipes_for_few_epochs_are_found_by_their_number(tmp_path):
    names = ("sgd", "sgd epochs=2", "sgd epochs=30", "dp_sgd eps=2", "dp_sgd eps=8 epochs=5")
    names += ("dp_sgd eps=8",)
    made = {name: asdict(Recipe("adam", 0.1 + i, True, 64, 3)) for i, name in enumerate(names)}
    path = tmp_path / "recipes.json"
    path.write_text(json.dumps({"dataset": "digits", "recipes": made}))
    book = load_recipes("digits", path)
    for arguments, expected in {
        ("sgd",): "sgd",
        ("early_stop", 3.0, 3): "sgd epochs=2",
        ("gate", 0.9, 20): "sgd epochs=30",
        ("gate", 0.9): "sgd",
        ("dp_sgd", 7.0): "dp_sgd eps=8",
        ("dp_sgd", 7.0, 3): "dp_sgd eps=8 epochs=5",
        ("dp_sgd", 1.0, 3): "dp_sgd eps=2",
    }.items():
        assert book.find(*arguments) == book.recipes[expected], arguments


def test_a_defense_without_a_search_trains_like_its_like(tmp_path):
    made = {
        name: asdict(Recipe("momentum", rate, True, 64, 3))
        for name, rate in {
            "sgd": 0.1,
            "gate": 0.2,
            "dp_noise": 0.3,
            "dp_noise epochs=5": 0.4,
        }.items()
    }
    path = tmp_path / "recipes.json"
    path.write_text(json.dumps({"dataset": "digits", "recipes": made}))
    book = load_recipes("digits", path)
    for name, rate in {
        "sgd": 0.1,
        "censor:0.1": 0.1,
        "gate_norm:0.7": 0.2,
        "gate_chance:0.7@2": 0.2,
        "out_of_fold:0.1": 0.3,
        "out_of_fold:0.1@4": 0.4,
    }.items():
        assert parse_defense(name).recipe_in(book).learning_rate == rate, name
    assert book.find("other", like="another") == book.recipes["sgd"]
