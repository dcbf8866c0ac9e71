"""Interrupted trainings end as uninterrupted ones, bit for bit."""

import functools
from typing import NamedTuple

import jax
import numpy as np
import optax
import pytest

from gujax import models, training, transforms
from gujax.data import Split
from gujax.training import _loop as loop
from gujax.training import checkpointing
from gujax.training._checkpoints import Checkpoints

MODEL = models.mlp((6,), 3, hidden=())
LOSS = training.cross_entropy_loss(MODEL)
PARAMS = MODEL.init(jax.random.key(7))
RNG = np.random.default_rng(0)
SPLIT = Split.from_arrays(RNG.normal(size=(40, 6)), np.arange(40) % 3)
OTHER_SPLIT = Split.from_arrays(SPLIT.x + np.float32(1e-6), SPLIT.y)
MASKS = np.stack([np.arange(40) < 20, np.arange(40) >= 20])
EPOCHS = 4


class Interrupted(Exception):
    """What a kill is to the process, this is to the test."""


class KeyState(NamedTuple):
    key: jax.Array


def scaled_at_random(key):
    """A transformation whose state is a typed PRNG key."""

    def update(updates, state, params=None):
        key, draw = jax.random.split(state.key)
        scale = jax.random.uniform(draw, minval=0.5, maxval=1.5)
        return jax.tree.map(lambda u: scale * u, updates), KeyState(key)

    return optax.GradientTransformation(lambda params: KeyState(key), update)


def with_a_key(key):
    first = transforms.mean(batch_size=5)
    return optax.chain(first, scaled_at_random(key), optax.sgd(1e-2, momentum=0.9))


@functools.cache  # the same object is compiled once
def audited_adam(learning_rate):
    first = transforms.mean(relative_ridge=0.1, batch_size=8, num_examples=len(SPLIT))
    return optax.chain(first, optax.adam(learning_rate))


def train_one(key=0, learning_rate=1e-2, split=SPLIT, **options):
    return training.train(
        LOSS,
        PARAMS,
        split,
        audited_adam(learning_rate),
        batch_size=8,
        epochs=EPOCHS,
        key=jax.random.key(key),
        apply=MODEL.apply,
        test=SPLIT,
        **options,
    )


def train_two(**options):
    return training.train_many(
        LOSS,
        jax.vmap(MODEL.init)(jax.random.split(jax.random.key(1), 2)),
        SPLIT,
        with_a_key,
        member_masks=MASKS,
        keys=jax.random.split(jax.random.key(2), 2),
        batch_size=5,
        epochs=EPOCHS,
        **options,
    )


@pytest.fixture
def interrupt(monkeypatch):
    """Makes trainings fail before they save so many epochs."""

    save = Checkpoints.save

    def interrupt_at(epochs):
        def failing(self, checkpoint):
            if checkpoint.epochs == epochs:
                raise Interrupted
            save(self, checkpoint)

        monkeypatch.setattr(Checkpoints, "save", failing)

    return interrupt_at


def watching(seen):
    return lambda epoch, result: seen.append(epoch)


def assert_identical(result, other):
    leaves, structure = jax.tree.flatten(result[:-1])
    others, other_structure = jax.tree.flatten(other[:-1])
    assert structure == other_structure
    for leaf, of_other in zip(leaves, others, strict=True):
        assert leaf.dtype == of_other.dtype
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf, of_other = jax.random.key_data(leaf), jax.random.key_data(of_other)
        np.testing.assert_array_equal(leaf, of_other)


def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path, interrupt):
    whole = train_one(callback=watching([]))
    with checkpointing(tmp_path, every_seconds=0):
        for at in (2, 3):  # once, and once more after going on
            interrupt(at)
            with pytest.raises(Interrupted):
                train_one(callback=watching([]))
        interrupt(None)
        seen = []
        assert_identical(train_one(callback=watching(seen)), whole)
        assert seen == [2, 3]
        seen.clear()
        assert_identical(train_one(callback=watching(seen)), whole)  # it had ended
        assert seen == []


def test_many_models_with_keys_in_their_state(tmp_path, interrupt, monkeypatch):
    monkeypatch.setattr(loop, "_PROGRESS_TICKS", 2)  # two epochs at once
    whole = train_two()
    interrupt(4)
    with checkpointing(tmp_path, every_seconds=0):
        with pytest.raises(Interrupted):
            train_two()
        interrupt(None)
        assert_identical(train_two(), whole)


def test_what_belongs_to_another_training_is_not_taken(tmp_path):
    others = [{}, {"key": 1}, {"learning_rate": 2e-2}, {"split": OTHER_SPLIT}]
    whole = [train_one(callback=watching([]), **changes) for changes in others]
    with checkpointing(tmp_path, every_seconds=0):
        for changes, expected in zip(others, whole):
            seen = []
            assert_identical(train_one(callback=watching(seen), **changes), expected)
            assert seen == list(range(EPOCHS))
    assert len(list(tmp_path.iterdir())) == len(others)


def test_short_trainings_write_nothing(tmp_path):
    with checkpointing(tmp_path / "none"):
        train_one()
    assert not (tmp_path / "none").exists()
    train_one()  # outside of a block


def test_a_wrong_interval_is_named(tmp_path):
    with pytest.raises(ValueError, match="every_seconds"), checkpointing(tmp_path, -1.0):
        pass
