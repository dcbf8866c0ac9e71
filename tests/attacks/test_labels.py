"""Labels of every form that users have: the same number, or an error that names them."""

import numpy as np
import pytest

from gujax.attacks.membership import (
    evaluate_attack,
    lira,
    log_confidence,
    loss_threshold,
    rmia,
    scaled_confidence,
)

MODELS, EXAMPLES, CLASSES = 8, 30, 3
RNG = np.random.default_rng(0)
Y = np.append(np.arange(CLASSES), RNG.integers(0, CLASSES, EXAMPLES - CLASSES))
MEMBERS = RNG.permuted(np.arange(MODELS)[:, None].repeat(EXAMPLES, 1), axis=0) < MODELS // 2
LOGITS = RNG.normal(size=(MODELS, EXAMPLES, CLASSES)) + MEMBERS[..., None] * np.eye(CLASSES)[Y]
SIGNALS = (log_confidence, scaled_confidence, loss_threshold)


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("form", [list, np.float32, np.int8, np.uint64])
def test_the_same_numbers(signal, form):
    np.testing.assert_array_equal(signal(LOGITS, form(Y)), signal(LOGITS, Y))


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize(
    ("y", "remedy"),
    [
        (Y[:, None], r"use y\[:, 0\]"),
        (np.eye(CLASSES)[Y], r"use y.argmax\(axis=1\)"),
        (Y + 1, "use y - 1"),
        (np.where(Y == 0, -1, Y), "from -1 to 2"),
        (Y + 0.5, r"y\[0\] is"),
        (np.where(Y == 0, np.nan, Y), r"y\[0\] is"),
        (Y.astype(str), "np.unique"),
        (Y[:-1], "one label for each of the 30"),
    ],
)
def test_refused(signal, y, remedy):
    with pytest.raises(ValueError, match=f"^y .*{remedy}"):
        signal(LOGITS, y)


@pytest.mark.parametrize("signal", SIGNALS)
def test_logits_of_one_class(signal):
    z = LOGITS[..., :1]
    with pytest.raises(ValueError, match="two classes or more"):
        signal(z, np.zeros(EXAMPLES, int))


@pytest.mark.parametrize(
    "wrong",
    [
        np.where(MEMBERS, 1, -1),
        np.where(MEMBERS, 2, 1),
        np.where(MEMBERS, 1.0, np.nan),
        np.where(MEMBERS, "in", "out"),
    ],
)
def test_members_are_true_or_false(wrong):
    phi = scaled_confidence(LOGITS, Y)
    scores = lira(phi, MEMBERS)
    np.testing.assert_array_equal(lira(phi, MEMBERS.astype(float)), scores)
    with pytest.raises(ValueError, match="members must be true or false"):
        lira(phi, wrong)
    with pytest.raises(ValueError, match="members must be true or false"):
        evaluate_attack(scores, wrong)
    with pytest.raises(ValueError, match="include must be true or false"):
        evaluate_attack(scores, MEMBERS, include=wrong)


@pytest.mark.parametrize(
    "change", [np.log, lambda p: 100 * p, lambda p: np.where(p > 0.5, np.nan, p)]
)
def test_rmia_takes_probabilities(change):
    confidence = np.exp(log_confidence(LOGITS, Y))
    own, population = confidence[:, :20], confidence[:, 20:]
    with pytest.raises(ValueError, match="population has entries"):
        rmia(own, MEMBERS[:, :20], change(population))
    with pytest.raises(ValueError, match=r"confidence has .*entries"):
        rmia(change(own), MEMBERS[:, :20], population)
