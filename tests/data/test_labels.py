"""Splits of arrays as users have them: what is kept is what was given, or there is an error."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gujax import training, transforms
from gujax.data import Dataset, Split
from gujax.training._loss import cross_entropy

X = np.random.default_rng(0).normal(size=(4, 3))
Y = np.array([0, 2, 1, 2])


@pytest.mark.parametrize("form", [list, np.float64, np.uint8, jnp.asarray])
def test_whole_numbers_are_kept(form):
    split = Split.from_arrays(X, form(Y), form(Y))
    for labels in (split.y, split.subgroups):
        np.testing.assert_array_equal(labels, Y)
        assert labels.dtype == np.int32
    assert Split.from_arrays(X, Y > 0).y.tolist() == [0, 1, 1, 1]


WRONG = {
    "a column": (Y[:, None], r"use {}\[:, 0\]"),
    "one-hot": (np.eye(3)[Y], "one-hot"),
    "fractions": (Y + 0.25, r"{}\[0\] is"),
    "NaN": (np.where(Y == 1, np.nan, Y), r"{}\[2\] is"),
    "huge": (Y * 2**31, r"{}\[1\] is"),
    "words": (np.array(["a", "b", "a", "c"]), "np.unique"),
    "too few": (Y[:3], "each of the 4 examples"),
    "too many": (np.append(Y, 0), "each of the 4 examples"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_other_labels_are_refused(kind):
    wrong, message = WRONG[kind]
    with pytest.raises(ValueError, match="^y .*" + message.format("y")):
        Split.from_arrays(X, wrong)
    with pytest.raises(ValueError, match="^subgroups .*" + message.format("subgroups")):
        Split.from_arrays(X, Y, wrong)


def test_negative_labels():
    with pytest.raises(ValueError, match="labels from -1 to 1, needed are from 0 on"):
        Split.from_arrays(X, Y - 1)
    assert Split.from_arrays(X, Y, Y - 1).subgroups.tolist() == [-1, 1, 0, 1]


@pytest.mark.parametrize(("shift", "remedy"), [(1, "use train.y - 1"), (2, "np.unique")])
def test_labels_beyond_the_classes(shift, remedy):
    good, bad = Split.from_arrays(X, Y), Split.from_arrays(X, Y + shift)
    with pytest.raises(ValueError, match=remedy):
        Dataset("made", bad, good, 3)
    with pytest.raises(ValueError, match=r"test.y has labels"):
        Dataset("made", good, bad, 3)


def test_targets_that_are_no_labels_reach_the_loss():
    targets = X @ np.array([1.0, -2.0, 0.5])
    split = replace(Split.from_arrays(X, np.zeros(4)), y=targets)

    def loss_fn(params, example):
        x, y = example
        return (x @ params - y) ** 2

    optimizer = optax.chain(transforms.mean(batch_size=4), optax.sgd(0.1))
    result = training.train(
        loss_fn, jnp.zeros(3), split, optimizer, batch_size=4, epochs=1, key=jax.random.key(0)
    )
    expected = 0.1 * 2 * (targets[:, None] * X).mean(axis=0)
    np.testing.assert_allclose(result.params, expected, rtol=1e-5)


def classify(params, x):
    return x @ params


def loss_of_logits(params, example):
    return cross_entropy(classify(params, example[0]), example[1])


def train(split, **evaluation):
    training.train(
        loss_of_logits,
        jnp.zeros((3, 3)),
        split,
        optax.chain(transforms.mean(batch_size=2), optax.sgd(0.1)),
        batch_size=2,
        epochs=1,
        key=jax.random.key(0),
        **evaluation,
    )


@pytest.mark.parametrize("y", [Y[:, None], Y.astype(float), np.eye(3)[Y][:, :2], Y[:, None] > 1])
def test_losses_refuse_labels_that_broadcast(y):
    with pytest.raises(ValueError, match="y of one example has shape"):
        train(replace(Split.from_arrays(X, Y), y=y))


@pytest.mark.parametrize("y", [Y + 1, Y - 1, Y[:, None]])
def test_accuracy_needs_labels_of_the_model(y):
    good = Split.from_arrays(X, Y)
    with pytest.raises(ValueError, match=r"^split.y has"):
        train(replace(good, y=y), apply=classify, test=None)
    with pytest.raises(ValueError, match=r"^test.y has"):
        train(good, apply=classify, test=replace(good, y=y))


@pytest.mark.parametrize("y", [Y[:, None], np.eye(3)[Y], Y[:1]])
def test_accuracy_refuses_labels_that_broadcast(y):
    with pytest.raises(ValueError, match="y has shape"):
        training.accuracy(np.eye(3)[Y], y)
