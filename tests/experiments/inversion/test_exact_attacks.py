"""Exact attacks under defenses of shared updates, against the victims themselves."""

import jax
import numpy as np
import pytest

from experiments.inversion import attacks
from experiments.inversion.defenses import Setting, build_shared_updates
from experiments.inversion.measuring import rows
from experiments.inversion.search import SearchBudget
from experiments.inversion.sharing import share
from experiments.inversion.space import Space
from experiments.tasks.task import Task
from gujax import data, models, training

KEY = jax.random.key(3)
SIZE, FEATURES, CLASSES = 4, 60, 3
SPACE = Space((0.0,) * FEATURES, (1.0,) * FEATURES, is_image=False)


@pytest.fixture(scope="module")
def attack():
    x = np.random.default_rng(0).normal(size=(SIZE, FEATURES)).astype(np.float32)
    split = data.Split.from_arrays(x, np.arange(SIZE) % CLASSES)
    model = models.mlp((FEATURES,), CLASSES, (200, 50))
    task = Task(
        data.Dataset("random", split, split, CLASSES),
        model,
        "MLP",
        training.cross_entropy_loss(model),
    )

    def run(name, defense):
        (shared,) = build_shared_updates(task, [defense], Setting(batch_size=SIZE, crowd=SIZE))
        received = share(shared, shared.model.init(KEY), split, KEY)
        assert name in attacks.applicable(shared, [name])
        outcome = attacks.methods()[name].run(received, SearchBudget(SPACE, 1, 0.1, 0.0), KEY)
        return rows(received, name, outcome, split, SPACE)

    return run


@pytest.mark.parametrize("defense", ["none", "precode", "batch:4"])
@pytest.mark.parametrize("name", ["spear", "lone_units"])
def test_a_batch_is_read_where_the_first_layer_is_shared_as_it_is(attack, name, defense):
    frame = attack(name, defense)
    assert frame["refusal"].is_null().all()
    assert frame["success"].all()
    assert frame["feature_error"].max() < 1e-2


@pytest.mark.parametrize(
    ("name", "defense", "reason"),
    [
        ("spear", "gaussian:0.1", "full rank, 60"),
        ("spear", "prune:0.9", "gradient has (full )?rank"),
        ("lone_units", "gaussian:0.1", "no two of the"),
    ],
)
def test_where_it_is_not_the_reason_is_told(attack, name, defense, reason):
    frame = attack(name, defense)
    assert frame["refusal"].str.contains(reason).all()
    assert not frame["success"].any()
    np.testing.assert_allclose(frame["feature_error"], 1, rtol=1e-6)  # the mean input, 0
